"""What the router costs, beside the raw engine, the raw upstream and nginx: ``python -m tests.bench``."""

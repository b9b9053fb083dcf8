"""Measures a nano model through the running router, on words that its corpus cannot contain.

It is written from what a user may expect, and knows nothing of the corpus: ``heldout.toml`` is all
that the two share, and what stands there the corpus must leave out.
"""

"""Alembic migrations, run by trunkline.store.schema and by nothing else."""

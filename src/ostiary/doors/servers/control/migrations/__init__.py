"""Revisions of the tables, each a file; Alembic runs those that a database lacks."""

"""Run by Alembic with the connection that ``schema.py`` gives it, in the transaction that is open there."""

from alembic import context

from ostiary.doors.servers.control.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()

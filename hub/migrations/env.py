"""Alembic's entry: the connection comes from hub.store.migrate."""

from alembic import context

from hub.store.tables import metadata

with_connection = context.config.attributes["connection"]
context.configure(connection=with_connection, target_metadata=metadata, render_as_batch=True, compare_type=True)
with context.begin_transaction():
    context.run_migrations()

"""Runs the migrations on the connection that ``workers.store.migrate`` hands over."""

from alembic import context

from workers.store.schema import metadata

connection = context.config.attributes["connection"]
# In the transaction that is open: all of it, or nothing.
context.configure(connection=connection, target_metadata=metadata)
context.run_migrations()

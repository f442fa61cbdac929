"""What Alembic runs: migrate the connection it was given (by ``migrations.migrate``, within its transaction)."""

from typing import Any, Literal

from alembic import context
from sqlalchemy.types import TypeDecorator

from miniscope_core.models import metadata
from miniscope_core.storage.migrations import VERSION_TABLE


def render_item(kind: str, item: Any, autogen_context: Any) -> str | Literal[False]:
    """Write the plain type of a column into a revision: later changes of our types must not rewrite history."""
    if kind == "type" and isinstance(item, TypeDecorator):
        plain = item.impl_instance
        return f"sa.{plain!r}"
    return False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata(),
    version_table=VERSION_TABLE,
    render_as_batch=True,
    render_item=render_item,
    compare_type=True,
    transactional_ddl=True,
)
context.run_migrations()

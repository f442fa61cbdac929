"""The schema's history, an Alembic script directory shipped with the package; it knows tables, not their meaning."""

import importlib.resources
from typing import Any, Final

import sqlalchemy as sa

HEAD: Final = "0004"
"""Revision of the schema this code works with. Revisions are numbered, so older and newer can be told."""
VERSION_TABLE: Final = "miniscope_version"
"""Not Alembic's default name, which other programs' schemas in the same database use."""


def migrate(connection: sa.Connection, revision: str = HEAD) -> None:
    """Bring the schema to a revision, within the connection's transaction; committing is the caller's.

    Parameters
    ----------
    connection
        To an empty database, or one of an older revision.
    revision
        Where to go.
    """
    from alembic import command  # imported when needed: most starts find the schema as it should be

    command.upgrade(alembic_config(connection), revision)


def alembic_config(connection: sa.Connection) -> Any:
    """Return the Alembic configuration of this directory for an open connection; no alembic.ini is needed."""
    from alembic.config import Config

    config = Config()
    folder = str(importlib.resources.files(__name__))
    config.set_main_option("script_location", folder.replace("%", "%%"))
    config.attributes["connection"] = connection
    return config

"""Write the next revision from what the tables are now: ``python -m miniscope_core.storage.migrations "add …"``."""

import sys
import tempfile
from pathlib import Path

import sqlalchemy as sa
from alembic import command

from miniscope_core.storage.migrations import HEAD, alembic_config, migrate


def write_revision(message: str) -> None:
    """Compare the tables with a scratch database at the newest revision and write the difference as the next one.

    ``HEAD`` is then to be set to its number.
    """
    with tempfile.TemporaryDirectory() as folder:
        engine = sa.create_engine(f"sqlite:///{Path(folder) / 'scratch.db'}")
        with engine.connect() as connection:
            migrate(connection)
            number = f"{int(HEAD) + 1:04d}"
            command.revision(alembic_config(connection), message, autogenerate=True, rev_id=number)
        engine.dispose()


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit('Say what changes: python -m miniscope_core.storage.migrations "add a column"')
    write_revision(" ".join(sys.argv[1:]))

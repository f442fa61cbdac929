"""The database: one engine, one transaction at a time, a schema that migrations bring up to date.

SQLite for one machine, PostgreSQL for a laboratory; nothing else. Faults leave as :class:`DatabaseError` in one
line without the password, with SQLAlchemy's error as their cause, so that a passing fault can be told.
"""

import contextlib
import re
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, OperationalError, SQLAlchemyError, StatementError
from sqlalchemy.pool import NullPool, StaticPool
from sqlmodel import Session

from miniscope_core.errors import ConflictError, DatabaseError
from miniscope_core.models.arrays import DatabaseIdentity
from miniscope_core.models.base import metadata, table_of
from miniscope_core.models.lookups import fill_lookups
from miniscope_core.storage.migrations import HEAD, VERSION_TABLE, migrate

BUSY_TIMEOUT_S: Final = 30
_WAL_PAUSE_S: Final = 0.05
_CONNECT_TIMEOUT_S: Final = 10
# Any number does, as long as every version of this code takes the same.
_MIGRATION_LOCK: Final = 0x6D696E69


class Database:
    """A database by its address; connects when it is first used.

    Parameters
    ----------
    url
        ``sqlite:///path/to/file.db``, or ``postgresql://user:password@host/name``.

    Raises
    ------
    DatabaseError
        When the address is none of these, or the driver of PostgreSQL is not installed.
    """

    def __init__(self, url: str) -> None:
        self._url = _parse(url)
        self.engine: Final = _engine(self._url)
        self._identity: str | None = None

    @property
    def url(self) -> str:
        """The address, without the password."""
        return self._url.render_as_string(hide_password=True)

    @property
    def path(self) -> Path | None:
        """File of a SQLite database; None for one in memory or on a server."""
        name = self._url.database
        in_file = self._url.get_backend_name() == "sqlite" and name not in (None, "", ":memory:")
        return Path(str(name).removeprefix("file:")) if in_file else None

    @property
    def identity(self) -> str:
        """UUID of the database, given when it was made: other databases may publish to the same store.

        Raises
        ------
        DatabaseError
            When it cannot be read.
        """
        if self._identity is None:
            with self._faults(), self.engine.connect() as connection:
                self._identity = connection.scalar(sa.select(table_of(DatabaseIdentity).c.database_id))
            if not self._identity:
                raise DatabaseError(f"The database {self.url} lacks its identity: was its row removed? Restore it.")
        return self._identity

    def __repr__(self) -> str:
        return f"Database({self.url!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections; a later use opens new ones."""
        self.engine.dispose()

    @contextlib.contextmanager
    def session(self) -> Iterator[Session]:
        """Open a session with one transaction: committed when the block ends, rolled back when it raises.

        Rows stay readable after the block. Reads see what others committed in the meantime (READ COMMITTED on
        PostgreSQL, and the like on SQLite, where a transaction begins with its first write).

        Yields
        ------
        Session

        Raises
        ------
        DatabaseError
            When the database cannot be reached, read or written; SQLAlchemy's error is the cause.
        ConflictError
            When rows contradict those that are there (a key that exists, a reference to nothing).
        """
        with self._faults(), Session(self.engine, expire_on_commit=False) as session, session.begin():
            yield session

    def upgrade(self) -> None:
        """Bring the schema to this version of the code and fill the lookups; create what is not there.

        Does nothing where all is done already. Safe when several processes do it at once.

        Raises
        ------
        DatabaseError
            When the database cannot be reached or written, is of a newer version, or is another program's.
        """
        if self.path is not None:
            self._make_folder(self.path.parent)
        with self._faults():
            if self._revision() != HEAD:
                self._migrate()
        with self.session() as session:
            fill_lookups(session)

    def check(self, *, writable: bool = True) -> None:
        """Check that the database is there, of this version, and can be written; change nothing.

        Parameters
        ----------
        writable
            Whether writing matters.

        Raises
        ------
        DatabaseError
            When it is not, with the reason and a remedy.
        """
        if self.path is not None and not self.path.is_file():
            raise DatabaseError(f"No database at {self.path} yet: ingest a recording first, or correct the address.")
        with self._faults():
            revision = self._revision()
            if revision != HEAD:
                raise DatabaseError(self._other_revision(revision))
            if writable:
                self._probe_write()

    # -- schema ---------------------------------------------------------------------------------------
    def _revision(self) -> str | None:
        with self.engine.connect() as connection:
            return _revision(connection)

    def _other_revision(self, revision: str | None) -> str:
        if revision is None:
            return f"No schema in the database {self.url}: run `miniscope ingest`, which creates it."
        known = "an older" if revision < HEAD else "a newer"
        remedy = "it is brought up to date by `miniscope ingest`" if revision < HEAD else "update miniscope-core"
        return f"The database {self.url} has {known} schema: got revision {revision}, expected {HEAD}: {remedy}."

    def _migrate(self) -> None:
        # An engine of its own: to change a table, SQLite copies and drops it, and with foreign keys on the drop
        # would take the rows that refer to it along.
        engine = _engine(self._url, foreign_keys=False) if self.path is not None else self.engine
        try:
            if self.path is not None:
                _use_wal(engine)
            with engine.connect() as connection:
                _lock_migrations(connection)
                revision = _revision(connection)
                if revision is not None and revision > HEAD:
                    raise DatabaseError(self._other_revision(revision))
                if revision is None:
                    self._refuse_foreign_tables(connection)
                if revision != HEAD:
                    migrate(connection)
                    _check_foreign_keys(connection)
                connection.commit()
        finally:
            if engine is not self.engine:
                engine.dispose()

    def _refuse_foreign_tables(self, connection: sa.Connection) -> None:
        ours = metadata().tables.keys() & set(sa.inspect(connection).get_table_names())
        if ours:
            raise DatabaseError(
                f"The database {self.url} belongs to another program: it has a table {min(ours)!r} but no "
                f"{VERSION_TABLE!r}. Nothing was changed: give miniscope a database of its own."
            )

    def _make_folder(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DatabaseError(f"Cannot make the folder of the database {folder}: {error.strerror}.") from error

    def _probe_write(self) -> None:
        with self.engine.connect() as connection:
            if connection.dialect.name == "sqlite":
                connection.exec_driver_sql("BEGIN IMMEDIATE")
                # Only a write tells: SQLite begins on a read-only file without complaint.
                connection.exec_driver_sql(f"UPDATE {VERSION_TABLE} SET version_num = version_num")
                connection.rollback()
            elif connection.scalar(sa.text("SHOW transaction_read_only")) == "on":
                raise DatabaseError(f"The database {self.url} is read-only: is it a replica? Name the primary server.")

    # -- faults ---------------------------------------------------------------------------------------
    @contextlib.contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except IntegrityError as error:
            raise ConflictError(
                f"Rows contradict those in the database {self.url}: {self._reason(error)}. Nothing was written."
            ) from error
        except SQLAlchemyError as error:
            raise DatabaseError(f"The database {self.url} {_what(error)}: {self._reason(error)}.") from error

    def _reason(self, error: SQLAlchemyError) -> str:
        text = str(error.orig if isinstance(error, StatementError) and error.orig is not None else error)
        if self._url.password:
            # As a word: a short password would tear every other word that has its letters.
            text = re.sub(rf"(?<!\w){re.escape(str(self._url.password))}(?!\w)", "***", text)
        return " ".join(text.split()).rstrip(".")


def _parse(address: str) -> URL:
    try:
        url = make_url(address)
    except ArgumentError as error:
        raise DatabaseError(
            "The database's address cannot be read: expected sqlite:///file.db or postgresql://user:password@host/name."
        ) from error
    if url.drivername in ("postgresql", "postgres", "postgresql+psycopg"):
        return url.set(drivername="postgresql+psycopg")
    if url.drivername not in ("sqlite", "sqlite+pysqlite"):
        raise DatabaseError(
            f"Unknown kind of database: got {url.drivername!r}, expected sqlite:///file.db or postgresql://user@host/name."
        )
    return url


def _engine(url: URL, *, foreign_keys: bool = True) -> sa.Engine:
    if url.get_backend_name() == "postgresql":
        try:
            return sa.create_engine(url, pool_pre_ping=True, connect_args={"connect_timeout": _CONNECT_TIMEOUT_S})
        except ImportError as error:
            raise DatabaseError(
                "The driver of PostgreSQL is not installed: pip install 'miniscope-core[postgres]'."
            ) from error
    arguments: dict[str, Any] = {"timeout": BUSY_TIMEOUT_S}
    if url.database in (None, "", ":memory:"):
        # One connection for all threads: each further one would be another, empty database.
        engine = sa.create_engine(url, poolclass=StaticPool, connect_args={**arguments, "check_same_thread": False})
    else:
        engine = sa.create_engine(
            url, connect_args=arguments, **({"pool_pre_ping": True} if foreign_keys else {"poolclass": NullPool})
        )
    event.listen(engine, "connect", _on_connect(foreign_keys))
    event.listen(engine, "savepoint", _begin_before_savepoint)
    return engine


def _on_connect(foreign_keys: bool) -> Any:
    def configure(connection: Any, record: Any) -> None:
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA foreign_keys={'ON' if foreign_keys else 'OFF'}")
        cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.close()

    return configure


def _begin_before_savepoint(connection: sa.Connection, name: str) -> None:
    # Python's driver begins a transaction before the first INSERT or UPDATE, but not before a SAVEPOINT, whose
    # release would then commit what the session may still roll back.
    driver: Any = connection.connection.driver_connection
    if not driver.in_transaction:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _use_wal(engine: sa.Engine) -> None:
    # Kept in the file. Where the file system cannot (a network share), SQLite stays as it was, only slower.
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            with engine.connect() as connection:
                if connection.exec_driver_sql("PRAGMA journal_mode").scalar() != "wal":
                    connection.exec_driver_sql("PRAGMA journal_mode=WAL")
            return
        except OperationalError as error:
            # Of two that change it at once SQLite refuses one at once, without the time that others are given.
            if "locked" not in str(error.orig) or time.monotonic() > deadline:
                raise
            time.sleep(_WAL_PAUSE_S)


def _lock_migrations(connection: sa.Connection) -> None:
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATION_LOCK)))


def _check_foreign_keys(connection: sa.Connection) -> None:
    if connection.dialect.name == "sqlite":
        broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
        if broken is not None:
            raise DatabaseError(
                f"The migration would leave rows of {broken[0]!r} that refer to nothing: it was undone."
            )


def _revision(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table(VERSION_TABLE):
        return None
    revision = connection.scalar(sa.text(f"SELECT version_num FROM {VERSION_TABLE}"))
    return None if revision is None else str(revision)


def _what(error: SQLAlchemyError) -> str:
    text = str(error).lower()
    if "readonly" in text or "read-only" in text:
        return "is read-only (check the rights of the file and of its folder)"
    if "locked" in text:
        return f"is locked by another process for more than {BUSY_TIMEOUT_S} s"
    if "disk is full" in text or "no space left" in text:
        return "has no space left on its disk"
    if "no such table" in text or "does not exist" in text:
        return "lacks what this version of the code expects"
    if isinstance(error, DBAPIError) and error.statement is None:
        return "cannot be reached (check the address, the server and the rights)"
    return "failed"

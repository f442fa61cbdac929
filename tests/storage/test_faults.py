"""Which failures pass by themselves and which never do."""

import errno
import sqlite3
from pathlib import Path

import psycopg
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError
from sqlalchemy.exc import IntegrityError, OperationalError

from miniscope_core.errors import ClaimError, ClockError, ConflictError, DatabaseError, EngineError, StoreError
from miniscope_core.storage.faults import is_transient


def database_error(cause: Exception) -> BaseException:
    """Wrap a driver's error as SQLAlchemy and our database do."""
    error = DatabaseError("one line")
    error.__cause__ = OperationalError("SELECT 1", {}, cause)
    return error


def store_error(cause: BaseException) -> BaseException:
    """Wrap a file system's error as our store does."""
    error = StoreError("one line")
    error.__cause__ = cause
    return error


PASSING = [
    ConnectionResetError("reset"),
    ConnectionRefusedError("refused"),
    TimeoutError("timed out"),
    EndpointConnectionError(endpoint_url="http://s3"),
    store_error(EndpointConnectionError(endpoint_url="http://s3")),
    store_error(ReadTimeoutError(endpoint_url="http://s3")),
    store_error(OSError(errno.EBUSY, "Please reduce your request rate")),
    database_error(sqlite3.OperationalError("database is locked")),
    database_error(psycopg.OperationalError("connection refused")),
    database_error(psycopg.OperationalError("server closed the connection unexpectedly")),
]
LASTING = [
    ValueError("a bad parameter"),
    KeyError("a bug"),
    ClockError("rows and frames differ"),
    ConflictError("differs"),
    ClaimError("somebody else's"),
    EngineError("too dark"),
    PermissionError("no"),
    FileNotFoundError("no"),
    store_error(PermissionError("Access Denied")),
    store_error(FileNotFoundError("The specified bucket does not exist")),
    store_error(OSError(errno.ENOSPC, "No space left on device")),
    store_error(OSError(errno.EROFS, "Read-only file system")),
    store_error(ClientError({"Error": {"Code": "InvalidRequest"}}, "PutObject")),
    database_error(sqlite3.OperationalError("attempt to write a readonly database")),
    database_error(sqlite3.OperationalError("no such table: subject")),
    database_error(sqlite3.OperationalError("database or disk is full")),
    database_error(sqlite3.OperationalError("unable to open database file")),
    database_error(psycopg.OperationalError('FATAL: database "x" does not exist')),
    database_error(psycopg.OperationalError("FATAL:  password authentication failed for user")),
    database_error(psycopg.OperationalError("could not extend file: No space left on device")),
    IntegrityError("INSERT", {}, sqlite3.IntegrityError("UNIQUE constraint failed")),
]


@pytest.mark.parametrize("error", PASSING, ids=repr)
def test_what_is_away_for_a_moment_passes(error: BaseException) -> None:
    assert is_transient(error)


@pytest.mark.parametrize("error", LASTING, ids=repr)
def test_what_is_wrong_stays_wrong(error: BaseException) -> None:
    assert not is_transient(error)


def test_the_outermost_cause_that_tells_decides(tmp_path: Path) -> None:
    broken = ClockError("a broken file")
    broken.__cause__ = ConnectionResetError("while it was read from a share")
    assert not is_transient(broken)


def test_causes_that_go_in_a_circle_end() -> None:
    first, second = RuntimeError("a"), RuntimeError("b")
    first.__cause__, second.__cause__ = second, first
    assert not is_transient(first)


def test_an_error_seen_while_another_was_handled_is_not_its_cause() -> None:
    error = RuntimeError("a bug in the handler")
    error.__context__ = ConnectionResetError("handled")
    assert not is_transient(error)

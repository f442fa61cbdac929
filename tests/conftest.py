"""Fixtures for all tests: a fresh database, on SQLite and on PostgreSQL."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from miniscope_core.storage.database import Database
from tests.postgres import NoPostgresError, PostgresServer, running_postgres

# A shared machine stalls now and then; what hangs is ended by the run's own limit.
settings.register_profile("shared", deadline=None)
settings.load_profile("shared")

BACKENDS = ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """Return a running PostgreSQL server; skip where there is none."""
    server = running_postgres()
    try:
        running = server.__enter__()
    except NoPostgresError as error:
        pytest.skip(str(error))
    try:
        yield running
    finally:
        server.__exit__(None, None, None)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a SQLite file with the newest schema and the lookups, to be copied."""
    path = tmp_path_factory.mktemp("template") / "template.db"
    with Database(f"sqlite:///{path}") as database:
        database.upgrade()
    return path


@pytest.fixture(scope="session")
def postgres_template(postgres_server: PostgresServer) -> str:
    """Return the name of a PostgreSQL database with the newest schema and the lookups, to be copied."""
    name = postgres_server.create()
    with Database(postgres_server.url(name)) as database:
        database.upgrade()
    return name


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    """Return ``"sqlite"``, then ``"postgres"``."""
    return str(request.param)


@pytest.fixture
def database_url(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Return the address of a fresh database with schema and lookups, on each backend."""
    if backend == "sqlite":
        path = tmp_path / "miniscope.db"
        shutil.copyfile(request.getfixturevalue("sqlite_template"), path)
        yield f"sqlite:///{path}"
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    name = server.create(request.getfixturevalue("postgres_template"))
    yield server.url(name)
    server.drop(name)


@pytest.fixture
def empty_database_url(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Return the address of a database without any table, on each backend."""
    if backend == "sqlite":
        yield f"sqlite:///{tmp_path / 'new' / 'empty.db'}"
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    name = server.create()
    yield server.url(name)
    server.drop(name)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """Return a fresh database with schema and lookups, on each backend."""
    with Database(database_url) as database:
        yield database


@pytest.fixture
def sqlite_database(sqlite_template: Path, tmp_path: Path) -> Iterator[Database]:
    """Return a fresh SQLite database, for tests that no backend makes a difference to."""
    path = tmp_path / "miniscope.db"
    shutil.copyfile(sqlite_template, path)
    with Database(f"sqlite:///{path}") as database:
        yield database

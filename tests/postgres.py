"""A PostgreSQL server of the tests' own: started once, reached by a socket in its folder, gone afterwards."""

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import sqlalchemy as sa

_USER = "miniscope"


class NoPostgresError(RuntimeError):
    """This machine has no PostgreSQL to start."""


def find_binaries() -> Path:
    """Return the folder of ``initdb`` and ``pg_ctl``: from PATH, or where Debian puts them, newest first."""
    found = [Path(path).resolve().parent for path in (shutil.which("pg_ctl"), "/usr/local/bin/pg_ctl") if path]
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)
    for folder in (*found, *debian):
        if (folder / "pg_ctl").is_file() and (folder / "initdb").is_file():
            return folder
    raise NoPostgresError("no PostgreSQL on this machine (initdb and pg_ctl): apt-get install postgresql")


def _other_user() -> dict[str, Any]:
    """Return how to start a process as somebody else when we are root, whom PostgreSQL refuses."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    raise NoPostgresError("running as root, whom PostgreSQL refuses, and there is no user postgres or nobody")


@dataclass
class PostgresServer:
    """A running server; each call of :meth:`create` gives a new database."""

    folder: Path
    _numbers: "count[int]" = field(default_factory=count)

    def url(self, name: str) -> str:
        """Address of a database of this server."""
        return f"postgresql://{_USER}@/{name}?host={self.folder}"

    def create(self, template: str = "template0") -> str:
        """Create a database, as a copy of another, and return its name."""
        name = f"test_{next(self._numbers)}"
        self._execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def drop(self, name: str) -> None:
        """Drop a database, whoever is still connected to it."""
        self._execute(f"DROP DATABASE {name} WITH (FORCE)")

    def _execute(self, statement: str) -> None:
        engine = sa.create_engine(
            self.url("postgres").replace("postgresql:", "postgresql+psycopg:"),
            isolation_level="AUTOCOMMIT",
            poolclass=sa.pool.NullPool,
        )
        with engine.connect() as connection:
            connection.exec_driver_sql(statement)


@contextlib.contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """Start a server in a folder of its own and stop it when the block ends.

    Raises
    ------
    NoPostgresError
        When there is none to start; any other failure is an error, not a reason to skip.
    """
    binaries, user = find_binaries(), _other_user()
    # Directly below the temporary folder: the path of a socket may have no more than 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    if user:
        os.chown(folder, user["user"], user["group"])
    data, log = folder / "data", folder / "log"

    def run(program: str, *arguments: str) -> None:
        # Output goes to a file: the server would inherit a pipe and hold it open.
        with (folder / "out").open("w+") as output:
            command = [str(binaries / program), "-D", str(data), *arguments]
            done = subprocess.run(command, cwd=folder, stdout=output, stderr=subprocess.STDOUT, check=False, **user)
            if done.returncode:
                output.seek(0)
                said = output.read() + (log.read_text() if log.is_file() else "")
                raise RuntimeError(f"{program} of the test server failed: {said}")

    # Stops the server when our end of its input is closed: by us, or because the tests were killed.
    script = 'trap "" HUP INT TERM; read _; "$1"/pg_ctl stop -D "$2"/data --mode immediate; rm -rf "$2"'
    guard = subprocess.Popen(
        ["sh", "-c", script, "guard", str(binaries), str(folder)],
        cwd="/",
        start_new_session=True,  # whoever kills the tests with their group does not kill the guard
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        **user,
    )
    try:
        run("initdb", "--username", _USER, "--auth", "trust", "--encoding", "UTF8", "--no-locale", "--no-sync")
        # A time zone that is not UTC, so that times that lean on the server's zone are seen.
        options = f"-k {folder} -c listen_addresses='' -c fsync=off -c full_page_writes=off -c timezone=Asia/Tokyo"
        run("pg_ctl", "start", "--wait", "--log", str(log), "--options", options)
        yield PostgresServer(folder)
    finally:
        guard.communicate()

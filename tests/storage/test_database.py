"""The database: transactions, faults in one line, and a schema that is the tables'."""

import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy.exc import IntegrityError, OperationalError, StatementError
from sqlmodel import select

from miniscope_core import models as m
from miniscope_core.errors import ConflictError, DatabaseError
from miniscope_core.models import make, metadata
from miniscope_core.storage.database import Database
from miniscope_core.storage.migrations import HEAD, VERSION_TABLE, alembic_config, migrate
from tests.models.example import insert_example


class Interruption(BaseException):
    """As Ctrl-C: no Exception."""


def subjects(database: Database) -> list[str]:
    with database.session() as session:
        return list(session.exec(select(m.Subject.subject).order_by(m.Subject.subject)))


# -- transactions -----------------------------------------------------------------------------------------
def test_a_block_that_ends_is_committed(database: Database) -> None:
    with database.session() as session:
        session.add(make(m.Subject, subject="subject1"))
    assert subjects(database) == ["subject1"]


def test_a_block_that_raises_leaves_nothing(database: Database) -> None:
    def fail() -> None:
        with database.session() as session:
            session.add(make(m.Subject, subject="subject1"))
            session.flush()
            raise Interruption

    with pytest.raises(Interruption):
        fail()
    assert subjects(database) == []


def test_rows_stay_readable_after_the_block(database: Database) -> None:
    with database.session() as session:
        row = make(m.Subject, subject="subject1")
        session.add(row)
    assert row.id is not None
    assert row.subject == "subject1"


def test_a_savepoint_is_undone_with_its_block(database: Database) -> None:
    # Python's SQLite driver commits a savepoint on release unless a transaction was begun before.
    def fail() -> None:
        with database.session() as session:
            with session.begin_nested():
                session.add(make(m.Subject, subject="subject1"))
            raise Interruption

    with pytest.raises(Interruption):
        fail()
    assert subjects(database) == []


def test_a_failed_savepoint_leaves_the_rest_of_its_block(database: Database) -> None:
    with database.session() as session:
        session.add(make(m.Subject, subject="subject1"))
        session.flush()
        with pytest.raises(IntegrityError), session.begin_nested():
            session.add(make(m.Subject, subject="subject1"))
        session.add(make(m.Subject, subject="subject2"))
    assert subjects(database) == ["subject1", "subject2"]


def test_a_key_that_exists_is_a_conflict(database: Database) -> None:
    with database.session() as session:
        session.add(make(m.Subject, subject="subject1"))
    with pytest.raises(ConflictError, match="Nothing was written") as caught, database.session() as session:
        session.add(make(m.Subject, subject="subject1"))
    assert isinstance(caught.value.__cause__, IntegrityError)
    assert "\n" not in str(caught.value)


def test_a_reference_to_nothing_is_a_conflict(database: Database) -> None:
    with pytest.raises(ConflictError), database.session() as session:
        session.add(make(m.Session, subject_pk=4711, session_datetime=datetime(2021, 1, 1)))


def test_a_subject_with_sessions_cannot_be_deleted(database: Database) -> None:
    with database.session() as session:
        subject = make(m.Subject, subject="subject1")
        session.add(subject)
        session.flush()
        session.add(make(m.Session, subject_pk=subject.id, session_datetime=datetime(2021, 1, 1)))
    with pytest.raises(ConflictError), database.session() as session:
        session.delete(session.get_one(m.Subject, subject.id))
    assert subjects(database) == ["subject1"]


def test_two_writers_wait_for_each_other(database: Database) -> None:
    def write(name: str) -> None:
        try:
            for number in range(20):
                with database.session() as session:
                    session.exec(select(m.Subject)).all()  # a read first: SQLite must not hold on to what it saw
                    session.add(make(m.Subject, subject=f"{name}{number}"))
        except BaseException as error:  # noqa: BLE001 - handed to the test
            failures.append(error)

    failures: list[BaseException] = []
    threads = [threading.Thread(target=write, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(subjects(database)) == 40


# -- times ------------------------------------------------------------------------------------------------
def test_machine_times_come_back_in_utc(database: Database) -> None:
    moment = datetime(2024, 3, 31, 2, 30, 0, 123456, tzinfo=timezone(timedelta(hours=2)))
    with database.session() as session:
        session.add(_publication(created_at=moment))
    with database.session() as session:
        found = session.exec(select(m.Publication.created_at)).one()
        later = session.exec(
            select(m.Publication).where(m.Publication.created_at > moment - timedelta(seconds=1))
        ).all()
    assert found == moment
    assert found.utcoffset() == timedelta(0)
    assert found.microsecond == 123456
    assert len(later) == 1


def test_a_machine_time_without_zone_is_refused_even_in_a_comparison(database: Database) -> None:
    with pytest.raises(DatabaseError, match="with its zone") as caught, database.session() as session:
        session.exec(select(m.Publication).where(m.Publication.created_at > datetime(2024, 1, 1))).all()
    assert isinstance(caught.value.__cause__, StatementError)


def test_a_session_time_with_zone_is_refused_even_in_a_comparison(database: Database) -> None:
    with pytest.raises(DatabaseError, match="without zone"), database.session() as session:
        session.exec(select(m.Session).where(m.Session.session_datetime == datetime(2024, 1, 1, tzinfo=UTC))).all()


def test_session_times_ignore_the_zone_of_the_server(database: Database) -> None:
    start = datetime(2021, 1, 1, 0, 0, 1, 5)
    with database.session() as session:
        subject = make(m.Subject, subject="subject1")
        session.add(subject)
        session.flush()
        session.add(make(m.Session, subject_pk=subject.id, session_datetime=start))
    with database.session() as session:
        assert session.exec(select(m.Session.session_datetime)).one() == start


def _publication(**values: object) -> m.Publication:
    fields = {
        "prefix": "recording/0",
        "kind": "recording",
        "object_count": 2,
        "nbytes": 2**40,
        "manifest_sha256": "0" * 64,
        "created_at": datetime.now(UTC),
    }
    return make(m.Publication, **(fields | values))


# -- schema -----------------------------------------------------------------------------------------------
def test_migrations_build_exactly_the_tables_of_the_models(empty_database_url: str) -> None:
    with Database(empty_database_url) as database:
        database.upgrade()
        with database.engine.connect() as connection:
            options = {"compare_type": True, "version_table": VERSION_TABLE}
            context = MigrationContext.configure(connection, opts={**options, "target_metadata": metadata()})
            assert compare_metadata(context, metadata()) == []


def test_migrations_build_the_checks_and_foreign_keys_of_the_models(empty_database_url: str) -> None:
    # The comparison of Alembic sees no CHECK and no ON DELETE.
    with Database(empty_database_url) as database:
        database.upgrade()
        inspector = sa.inspect(database.engine)
        for name, table in metadata().tables.items():
            checks = {c.name for c in table.constraints if isinstance(c, sa.CheckConstraint)}
            assert {check["name"] for check in inspector.get_check_constraints(name)} == {str(c) for c in checks}
            keys = {(key.parent.name, key.column.table.name, key.ondelete) for key in table.foreign_keys}
            assert keys == {
                (key["constrained_columns"][0], key["referred_table"], key["options"]["ondelete"])
                for key in inspector.get_foreign_keys(name)
            }


def test_each_database_has_an_identity_that_lasts(empty_database_url: str, sqlite_database: Database) -> None:
    with Database(empty_database_url) as database:
        database.upgrade()
        identity = database.identity
        database.upgrade()
    with Database(empty_database_url) as again:
        assert again.identity == identity != sqlite_database.identity
        with pytest.raises(ConflictError), again.session() as session:
            session.add(make(m.DatabaseIdentity, id=2, database_id="a second one"))
        with again.session() as session:
            session.delete(session.get_one(m.DatabaseIdentity, 1))
    with Database(empty_database_url) as lost, pytest.raises(DatabaseError, match="lacks its identity"):
        _ = lost.identity


def test_the_known_head_is_the_newest_revision(sqlite_database: Database) -> None:
    with sqlite_database.engine.connect() as connection:
        scripts = ScriptDirectory.from_config(alembic_config(connection))
    assert scripts.get_current_head() == HEAD


def test_downgrade_takes_every_table_away(empty_database_url: str) -> None:
    from alembic import command

    with Database(empty_database_url) as database:
        database.upgrade()
        with database.engine.connect() as connection:
            command.downgrade(alembic_config(connection), "base")
            connection.commit()
        assert sa.inspect(database.engine).get_table_names() == [VERSION_TABLE]


def test_upgrading_again_changes_nothing(database: Database) -> None:
    with database.session() as session:
        before = session.exec(select(m.Channel)).all()
        session.exec(select(m.MaskType).where(m.MaskType.mask_type == "soma")).one()
    database.upgrade()
    with database.session() as session:
        assert [row.id for row in session.exec(select(m.Channel)).all()] == [row.id for row in before]


def test_lookups_that_somebody_removed_come_back(database: Database) -> None:
    with database.session() as session:
        session.delete(session.exec(select(m.Channel).where(m.Channel.channel == 3)).one())
    database.upgrade()
    with database.session() as session:
        assert sorted(session.exec(select(m.Channel.channel))) == [0, 1, 2, 3, 4]


def test_processes_that_start_at_once_build_one_schema(empty_database_url: str) -> None:
    code = """if True:
        import sys
        from miniscope_core.storage.database import Database
        with Database(sys.argv[1]) as database:
            print("ready", flush=True)
            sys.stdin.readline()
            database.upgrade()
    """
    command = [sys.executable, "-W", "error", "-c", code, empty_database_url]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    processes = [subprocess.Popen(command, text=True, **pipes) for _ in range(4)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [(process.communicate()[1], process.returncode) for process in processes] == [("", 0)] * 4
    with Database(empty_database_url) as database:
        database.check()
        with database.session() as session:
            assert len(session.exec(select(m.Channel)).all()) == 5


def test_a_failing_migration_leaves_nothing(empty_database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail_late(connection: sa.Connection) -> None:
        migrate(connection)
        raise OperationalError("CREATE TABLE", {}, Exception("out of luck"))

    monkeypatch.setattr("miniscope_core.storage.database.migrate", fail_late)
    with Database(empty_database_url) as database:
        with pytest.raises(DatabaseError, match="out of luck"):
            database.upgrade()
        assert sa.inspect(database.engine).get_table_names() == []


def test_migrating_leaves_the_logging_of_the_program_alone(empty_database_url: str) -> None:
    logger, level = logging.getLogger("some.program"), logging.getLogger().level
    with Database(empty_database_url) as database:
        database.upgrade()
    assert not logger.disabled
    assert logging.getLogger().level == level


def test_changing_a_table_keeps_the_rows_that_refer_to_it(
    sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    # To change a table SQLite copies and drops it; with foreign keys on, the drop would cascade.
    def recreate(connection: sa.Connection) -> None:
        operations = Operations(MigrationContext.configure(connection, opts={"transactional_ddl": True}))
        with operations.batch_alter_table("curation", recreate="always") as batch:
            batch.add_column(sa.Column("extra", sa.String()))

    with sqlite_database.session() as session:
        curation = insert_example(session).curation
        session.add(make(m.CurationUnit, curation_pk=curation, unit_id=0, accepted=True))
    _set_revision(sqlite_database, "0000")
    monkeypatch.setattr("miniscope_core.storage.database.migrate", recreate)
    sqlite_database.upgrade()
    with sqlite_database.session() as session:
        assert len(session.exec(select(m.CurationUnit)).all()) == 1
        assert len(session.exec(select(m.Mask)).all()) == 2


def test_a_migration_that_breaks_references_is_undone(
    sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def orphan(connection: sa.Connection) -> None:
        connection.exec_driver_sql("DELETE FROM subject")

    with sqlite_database.session() as session:
        insert_example(session)
    _set_revision(sqlite_database, "0000")
    monkeypatch.setattr("miniscope_core.storage.database.migrate", orphan)
    with pytest.raises(DatabaseError, match=r"'session'.*undone"):
        sqlite_database.upgrade()
    assert subjects(sqlite_database) == ["subject1"]


# -- what is wrong with a database ------------------------------------------------------------------------
def test_check_accepts_a_database_of_this_version(database: Database) -> None:
    database.check()


def test_check_makes_no_file(tmp_path: Path) -> None:
    path = tmp_path / "absent.db"
    with Database(f"sqlite:///{path}") as database, pytest.raises(DatabaseError, match="No database at"):
        database.check()
    assert not path.exists()


def test_check_tells_an_empty_database(empty_database_url: str) -> None:
    with Database(empty_database_url) as database:
        if database.path is not None:
            database.path.parent.mkdir()
            database.path.touch()
        with pytest.raises(DatabaseError, match="No schema"):
            database.check()


@pytest.mark.parametrize(("revision", "remedy"), [("0000", "an older.*ingest"), ("9999", "a newer.*update")])
def test_check_tells_another_revision_with_the_remedy(database: Database, revision: str, remedy: str) -> None:
    _set_revision(database, revision)
    with pytest.raises(DatabaseError, match=remedy):
        database.check()


def test_a_newer_database_is_not_upgraded(database: Database) -> None:
    _set_revision(database, "9999")
    with pytest.raises(DatabaseError, match=r"a newer.*update miniscope-core"):
        database.upgrade()


def _set_revision(database: Database, revision: str) -> None:
    with database.session() as session:
        session.connection().exec_driver_sql(f"UPDATE {VERSION_TABLE} SET version_num = '{revision}'")


def test_a_database_of_another_program_is_left_alone(empty_database_url: str) -> None:
    with Database(empty_database_url) as database:
        if database.path is not None:
            database.path.parent.mkdir()
        with database.engine.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE session (token VARCHAR)")
        with pytest.raises(DatabaseError, match="another program"):
            database.upgrade()
        assert sa.inspect(database.engine).get_table_names() == ["session"]


def test_an_unreachable_server_is_one_line_without_the_password(backend: str) -> None:
    # Port 1 answers nobody.
    url = "postgresql://me:s3cr%40t@127.0.0.1:1/lab" if backend == "postgres" else "sqlite:////proc/none/lab.db"
    with Database(url) as database:
        for action in (database.upgrade, lambda: subjects(database)):
            with pytest.raises(DatabaseError) as caught:
                action()
            assert "\n" not in str(caught.value)
            assert "s3cr" not in str(caught.value)
    assert isinstance(caught.value.__cause__, OperationalError)
    assert "s3cr" not in repr(database)


def test_the_password_is_not_repeated_when_the_driver_tells_it() -> None:
    database = Database("postgresql://me:s3cr%40t@127.0.0.1:1/lab")
    with pytest.raises(DatabaseError, match=r"\*\*\*") as caught, database.session():
        raise OperationalError("SELECT 1", {}, Exception("no such user: me, s3cr@t"))
    assert "s3cr" not in str(caught.value)


@pytest.mark.parametrize("url", ["", "lab.db", "mysql://me:s3cret@host/lab", "postgresql+asyncpg://me:s3cret@host/lab"])
def test_an_address_of_no_known_kind_is_refused(url: str) -> None:
    with pytest.raises(DatabaseError, match="expected sqlite:///") as caught:
        Database(url)
    assert "s3cret" not in str(caught.value)


@pytest.mark.postgres
@pytest.mark.parametrize("backend", ["postgres"], indirect=True)
def test_a_connection_that_the_server_closed_is_opened_again(database: Database) -> None:
    assert subjects(database) == []
    with Database(database.engine.url.render_as_string(hide_password=False)) as other, other.engine.begin() as admin:
        closed = admin.exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ).all()
    assert closed == [(True,)]
    assert subjects(database) == []


@pytest.fixture
def read_only(sqlite_database: Database) -> Iterator[Database]:
    """A database whose file nobody may write: by its address, for root may write every file."""
    path = sqlite_database.path
    with Database(f"sqlite:///file:{path}?mode=ro&uri=true") as database:
        yield database


def test_check_tells_a_read_only_file(read_only: Database) -> None:
    read_only.check(writable=False)
    with pytest.raises(DatabaseError, match="read-only"):
        read_only.check()


def test_writing_to_a_read_only_file_says_so(read_only: Database) -> None:
    with pytest.raises(DatabaseError, match=r"read-only.*rights"), read_only.session() as session:
        session.add(make(m.Subject, subject="subject1"))


@pytest.mark.postgres
@pytest.mark.parametrize("backend", ["postgres"], indirect=True)
def test_check_tells_a_read_only_server(database: Database) -> None:
    with database.engine.connect() as connection:
        connection.exec_driver_sql(
            f"ALTER DATABASE {connection.engine.url.database} SET default_transaction_read_only = on"
        )
        connection.commit()
    database.close()
    database.check(writable=False)
    with pytest.raises(DatabaseError, match="read-only"):
        database.check()


def test_a_full_disk_is_told_and_nothing_is_left(sqlite_database: Database) -> None:
    with sqlite_database.engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(DatabaseError, match="no space left"), sqlite_database.session() as session:
        session.add(make(m.Subject, subject="subject1", subject_description="x" * 10**6))
    assert subjects(sqlite_database) == []


def test_sqlite_waits_instead_of_failing_and_keeps_its_log_beside_the_file(sqlite_database: Database) -> None:
    with sqlite_database.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 30_000
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 1


def test_a_database_in_memory_is_one_for_all_threads() -> None:
    with Database("sqlite://") as database:
        database.upgrade()
        found: list[list[str]] = []
        thread = threading.Thread(target=lambda: found.append(subjects(database)))
        thread.start()
        thread.join()
        assert found == [[]]

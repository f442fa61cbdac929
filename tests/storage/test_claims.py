"""Claims: one holder at a time, between threads, processes and machines, as long as the lease lasts."""

import itertools
import logging
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from miniscope_core import models as m
from miniscope_core.errors import ClaimError, DatabaseError
from miniscope_core.models import make, param_set_hash
from miniscope_core.storage.claims import Claim
from miniscope_core.storage.database import Database


def add_task(database: Database) -> int:
    """Add a task with everything above it, and return its primary key."""
    with database.session() as session:

        def add(entity: type[m.Entity], **values: Any) -> Any:
            row: Any = make(entity, **values)
            session.add(row)
            session.flush()
            return row.id

        def lookup(entity: Any) -> Any:
            return session.scalars(sa.select(entity.id)).first()

        subject = add(m.Subject, subject="subject1")
        sitting = add(m.Session, subject_pk=subject, session_datetime=datetime(2021, 1, 1, 0, 0, 1))
        recording = add(
            m.Recording,
            session_pk=sitting,
            recording_id=0,
            recording_directory="s",
            device_pk=add(m.Device, device="scope"),
            acquisition_software_pk=lookup(m.AcquisitionSoftware),
        )
        facts = {"nframes": 9, "px_height": 4, "px_width": 6, "fps": 20.0, "recording_duration": 0.45}
        info = add(m.RecordingInfo, recording_pk=recording, **facts)
        paramset = add(
            m.ProcessingParamSet,
            paramset_id=0,
            processing_method_pk=lookup(m.ProcessingMethod),
            param_set_hash=param_set_hash({}),
            params={},
        )
        number: int = add(m.ProcessingTask, recording_info_pk=info, paramset_pk=paramset)
    return number


@pytest.fixture
def task(database: Database) -> int:
    return add_task(database)


@pytest.fixture
def lite_task(sqlite_database: Database) -> int:
    return add_task(sqlite_database)


def row(database: Database, task: int) -> m.ProcessingTask:
    with database.session() as session:
        return session.get_one(m.ProcessingTask, task)


def change(database: Database, task: int, **values: Any) -> None:
    with database.session() as session:
        session.execute(sa.update(m.ProcessingTask).values(**values))


def test_claim_is_in_the_row_while_it_is_held_and_gone_after(database: Database, task: int) -> None:
    with Claim(database, task) as claim:
        held = row(database, task)
        assert held.claimed_by == claim.owner
        assert held.claim_expires_at is not None
        assert timedelta(seconds=90) < held.claim_expires_at - datetime.now(UTC) < timedelta(seconds=150)
        claim.ensure_held()
    after = row(database, task)
    assert (after.claimed_by, after.claim_expires_at, after.attempts) == (None, None, 1)


def test_held_task_is_refused_with_who_and_until_when(database: Database, task: int) -> None:
    with Claim(database, task) as claim:
        with pytest.raises(ClaimError, match=rf"^subject1/2021-01-01T00:00:01/0/0 .*{claim.owner} until ..:..:.. UTC"):
            Claim(database, task).__enter__()
        assert row(database, task).attempts == 1


def test_of_many_at_once_exactly_one_gets_the_claim(database: Database, task: int) -> None:
    start, release = threading.Barrier(6), threading.Event()

    def claim() -> bool:
        start.wait(30)
        try:
            with Claim(database, task):
                return release.wait(30)
        except ClaimError:
            return False

    with ThreadPoolExecutor(6) as pool:
        futures = [pool.submit(claim) for _ in range(6)]
        refused = list(itertools.islice(as_completed(futures, timeout=60), 5))
        release.set()
        assert not any(future.result() for future in refused)
        assert sum(future.result() for future in futures) == 1
    assert row(database, task).attempts == 1


def test_lapsed_claim_is_taken_over(database: Database, task: int) -> None:
    lapsed = datetime.now(UTC) - timedelta(minutes=10)
    change(database, task, claimed_by="a dead process", claim_expires_at=lapsed)
    with Claim(database, task) as claim:
        assert row(database, task).claimed_by == claim.owner


def test_claim_that_was_taken_over_is_noticed_when_rows_are_committed(database: Database, task: int) -> None:
    with Claim(database, task) as claim:
        change(database, task, claimed_by="somebody else")
        with pytest.raises(ClaimError, match="nothing was published"), database.session() as session:
            claim.ensure_held(session)
    assert row(database, task).claimed_by == "somebody else"  # not released in its name


def test_claim_is_renewed_with_what_is_committed_in_its_name(database: Database, task: int) -> None:
    with Claim(database, task) as claim:
        change(database, task, claim_expires_at=datetime.now(UTC) - timedelta(seconds=1))
        with database.session() as session:
            claim.ensure_held(session)
        renewed = row(database, task).claim_expires_at
        assert renewed is not None
        assert renewed > datetime.now(UTC)


def test_lease_is_renewed_while_the_block_runs(database: Database, task: int) -> None:
    renewed = threading.Event()

    class Watched(Claim):
        def _update(self, *arguments: Any, **values: Any) -> bool:
            done = super()._update(*arguments, **values)
            if threading.current_thread().name == "claim-renewal":
                renewed.set()
            return done

    with Watched(database, task, lease_s=0.8) as claim:
        first = row(database, task).claim_expires_at
        assert renewed.wait(30)
    assert first is not None
    assert not claim._lost.is_set()


def test_holder_learns_from_the_renewal_that_its_claim_is_lost(database: Database, task: int) -> None:
    with Claim(database, task, lease_s=0.4) as claim:
        change(database, task, claimed_by="somebody else", claim_expires_at=datetime.now(UTC) + timedelta(minutes=1))
        assert claim._lost.wait(30)
        with pytest.raises(ClaimError, match="lapsed"):
            claim.ensure_held()


class _Failing(Claim):
    """A claim whose database goes away once it is held."""

    failures = 0

    def _update(self, *arguments: Any, **values: Any) -> bool:
        if threading.current_thread().name == "claim-renewal":
            self.failures += 1
            raise DatabaseError("away")
        return super()._update(*arguments, **values)


def test_database_that_is_away_loses_the_claim_only_when_the_lease_ends(
    sqlite_database: Database, lite_task: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING), _Failing(sqlite_database, lite_task, lease_s=0.4) as claim:
        assert claim._lost.wait(30)
    assert claim.failures > 1
    assert "Could not renew" in caplog.text


def test_what_the_block_raised_is_not_hidden_by_a_database_that_is_away(
    sqlite_database: Database, lite_task: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away(*_: Any, **__: Any) -> bool:
        raise DatabaseError("away")

    def work() -> None:
        with Claim(sqlite_database, lite_task) as claim:
            monkeypatch.setattr(claim, "_update", away)
            claim.note_error("the reason")
            raise ValueError("the reason")

    with pytest.raises(ValueError, match="the reason"):
        work()
    assert "Could not release" in caplog.text


def test_error_is_noted_by_the_holder_alone(database: Database, task: int) -> None:
    with Claim(database, task) as claim:
        claim.note_error("too dark")
        assert row(database, task).error == "too dark"
        change(database, task, claimed_by="somebody else", error=None)
        claim.note_error("too late")
    assert row(database, task).error is None


def test_task_that_is_gone_is_refused(sqlite_database: Database) -> None:
    with pytest.raises(ClaimError, match="is gone"):
        Claim(sqlite_database, 99).__enter__()

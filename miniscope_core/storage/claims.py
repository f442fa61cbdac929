"""Claims on processing tasks: the same task is never computed twice at once.

A claim is a lease in the task's own row. Its holder renews it; a lease that lapsed (the holder died) can be taken
over by anybody. The database decides, in one UPDATE, so it holds between processes and machines.
"""

import logging
import os
import socket
import threading
import time
import uuid
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Final, Self

from sqlalchemy import ColumnElement, func, or_, select, update
from sqlalchemy.orm import Session
from sqlmodel import col

from miniscope_core.errors import ClaimError, DatabaseError
from miniscope_core.models.natural import describe_key
from miniscope_core.models.processing import Processing, ProcessingTask
from miniscope_core.storage.database import Database

LEASE_SECONDS: Final = 120.0
_log = logging.getLogger(__name__)


class Claim:
    """Hold a processing task while computing it; a thread renews the lease until the block ends.

    Parameters
    ----------
    database
        Where the task is.
    task_pk
        Primary key of the :class:`~miniscope_core.models.processing.ProcessingTask`.
    lease_s
        How long the claim outlives its holder, seconds.

    Raises
    ------
    ClaimError
        On entering, when somebody else holds an unexpired claim.
    """

    def __init__(self, database: Database, task_pk: int, lease_s: float = LEASE_SECONDS) -> None:
        self.owner: Final = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._database = database
        self._task_pk = task_pk
        self._lease = timedelta(seconds=lease_s)
        self._stop = threading.Event()
        self._lost = threading.Event()
        self._renewer = threading.Thread(target=self._renew, name="claim-renewal", daemon=True)

    def __enter__(self) -> Self:
        with self._database.session() as session:
            now = _now(session)
            expires = col(ProcessingTask.claim_expires_at)
            taken = self._update(
                session,
                or_(expires.is_(None), expires < now),
                claimed_by=self.owner,
                claim_expires_at=now + self._lease,
                attempts=ProcessingTask.attempts + 1,
            )
            if not taken:
                raise ClaimError(self._refusal(session))
        self._renewer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._renewer.join()
        try:
            with self._database.session() as session:
                self._update(session, self._mine(), claimed_by=None, claim_expires_at=None)
        except DatabaseError as fault:
            # What the block did, or why it failed, matters more; the lease lapses by itself.
            _log.warning("Could not release the claim on task %s: %s", self._task_pk, fault)

    def ensure_held(self, session: Session | None = None) -> None:
        """Check that nobody took the task over.

        Parameters
        ----------
        session
            Where rows are about to be committed in the task's name: the claim is then renewed in the same
            transaction, so that nobody can take it over before the commit. Without one, a quick look.

        Raises
        ------
        ClaimError
            When the lease could not be renewed in time and lapsed.
        """
        if session is not None:
            lost = not self._update(session, self._mine(), claim_expires_at=_now(session) + self._lease)
        else:
            lost = self._lost.is_set()
        if lost:
            raise ClaimError(
                f"The claim on processing task {self._task_pk} lapsed and may be somebody else's: stopped, "
                "nothing was published. Run it again."
            )

    def note_error(self, message: str) -> None:
        """Keep why the attempt failed in the task's row, unless the task is somebody else's by now.

        A commit whose answer was lost looks like a failure: a task with a result keeps no error.
        """
        done = select(col(Processing.id)).where(col(Processing.task_pk) == self._task_pk).exists()
        try:
            with self._database.session() as session:
                self._update(session, self._mine() & ~done, error=message)
        except DatabaseError as fault:
            _log.warning("Could not note the error of task %s: %s", self._task_pk, fault)

    def _mine(self) -> ColumnElement[bool]:
        return col(ProcessingTask.claimed_by) == self.owner

    def _update(self, session: Session, condition: ColumnElement[bool], **values: object) -> bool:
        statement = update(ProcessingTask).where(col(ProcessingTask.id) == self._task_pk, condition).values(**values)
        return bool(session.connection().execute(statement).rowcount)

    def _refusal(self, session: Session) -> str:
        task = session.get(ProcessingTask, self._task_pk)
        if task is None:
            return f"Processing task {self._task_pk} is gone. Make it again."
        until = f" until {task.claim_expires_at:%H:%M:%S} UTC" if task.claim_expires_at else ""
        return (
            f"{describe_key(task, session)} is being computed already: claimed by {task.claimed_by}{until}. "
            "Wait for it, or run again after that time if that process died."
        )

    def _renew(self) -> None:
        renewed = time.monotonic()
        while not self._stop.wait(self._lease.total_seconds() / 4):
            asked = time.monotonic()
            try:
                with self._database.session() as session:
                    held = self._update(session, self._mine(), claim_expires_at=_now(session) + self._lease)
                renewed = asked
            except DatabaseError as fault:
                # A database that is away for a moment costs nothing while the lease lasts.
                _log.warning("Could not renew the claim on task %s: %s", self._task_pk, fault)
                held = time.monotonic() - renewed < self._lease.total_seconds()
            if not held:
                self._lost.set()
                return


def _now(session: Session) -> datetime:
    """Return the time by the clock of the server, where there is one: those of the runs may differ."""
    if session.get_bind().dialect.name == "postgresql":
        time_of_server = session.scalar(select(func.clock_timestamp()))
        if isinstance(time_of_server, datetime):
            return time_of_server
    return datetime.now(UTC)

"""Claims on processing tasks: the same task is never computed twice at once.

A claim is a lease in the task's own row. Its holder renews it; a lease that lapsed (the holder died) can be taken
over by anybody. The database decides, in one UPDATE, so it holds between processes and machines.
"""

import logging
import os
import socket
import threading
import uuid
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Final, Self

from sqlalchemy import ColumnElement, or_, update
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import col

from miniscope_core.errors import ClaimError, DatabaseError
from miniscope_core.models.processing import ProcessingTask
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
        self.owner = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._database = database
        self._task_pk = task_pk
        self._lease_s = lease_s
        self._stop = threading.Event()
        self._lost = threading.Event()
        self._renewer = threading.Thread(target=self._renew, name="claim-renewal", daemon=True)

    def __enter__(self) -> Self:
        now = datetime.now(UTC)
        expires = col(ProcessingTask.claim_expires_at)
        free = or_(expires.is_(None), expires < now)
        if not self._update(
            free, claimed_by=self.owner, claim_expires_at=self._deadline(now), attempts=ProcessingTask.attempts + 1
        ):
            with self._database.session() as session:
                task = session.get(ProcessingTask, self._task_pk)
                holder = (
                    f"{task.claimed_by} until {task.claim_expires_at:%H:%M:%S} UTC" if task else "nobody: it is gone"
                )
            raise ClaimError(
                f"Processing task {self._task_pk} is being computed already: claimed by {holder}. "
                "Wait for it, or run again after that time if that process died."
            )
        self._renewer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._renewer.join()
        self._update(self._mine(), claimed_by=None, claim_expires_at=None)

    def ensure_held(self) -> None:
        """Check that nobody took the task over, before anything is committed in its name.

        Raises
        ------
        ClaimError
            When the lease could not be renewed in time and lapsed.
        """
        if self._lost.is_set():
            raise ClaimError(
                f"The claim on processing task {self._task_pk} lapsed and may be somebody else's: stopped, "
                "nothing was published. Run it again."
            )

    def _deadline(self, now: datetime) -> datetime:
        return now + timedelta(seconds=self._lease_s)

    def _mine(self) -> ColumnElement[bool]:
        return col(ProcessingTask.claimed_by) == self.owner

    def _update(self, condition: ColumnElement[bool], **values: object) -> bool:
        statement = update(ProcessingTask).where(col(ProcessingTask.id) == self._task_pk, condition).values(**values)
        with self._database.session() as session:
            return bool(session.connection().execute(statement).rowcount)

    def _renew(self) -> None:
        held_until = self._deadline(datetime.now(UTC))
        while not self._stop.wait(self._lease_s / 4):
            now = datetime.now(UTC)
            try:
                held = self._update(self._mine(), claim_expires_at=self._deadline(now))
            except (SQLAlchemyError, DatabaseError) as error:
                # A database that is away for a moment costs nothing while the lease lasts.
                _log.warning("Could not renew the claim on task %s: %s", self._task_pk, error)
                held = now < held_until
            else:
                held_until = self._deadline(now)
            if not held:
                self._lost.set()
                return

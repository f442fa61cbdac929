"""What every request of the page needs: the archive, the processings opened of late, and submissions on their way."""

import logging
import threading
import uuid
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from pydantic import TypeAdapter, ValidationError

from miniscope_core.curation.decisions import Decisions
from miniscope_core.errors import NotFoundError, ParameterError
from miniscope_core.models import TaskKey
from miniscope_core.models.types import Name
from miniscope_core.pipeline.curate import Curated
from miniscope_core.settings import Settings
from miniscope_core.storage.archive import Archive
from miniscope_core.web.opened import OpenedProcessing
from miniscope_core.workspace import Workspace

_log = logging.getLogger(__name__)
_OPENED_AT_ONCE: Final = 3
_DRAFTS_AT_ONCE: Final = 8
_NAME: Final[TypeAdapter[str]] = TypeAdapter(Name)


def checked_name(name: str) -> str:
    """Return a curator's name.

    Raises
    ------
    ParameterError
        When it is none.
    """
    try:
        return _NAME.validate_python(name)
    except ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise ParameterError(f"Curator {name!r}: {reason}.") from error


@dataclass(frozen=True)
class Following:
    """What goes on after a submission."""

    submission_id: str
    state: str
    """``running``, ``done`` or ``failed``."""
    message: str = ""


@dataclass
class Context:
    """The state of a server; nothing of it is lost with it, for what a person did is in the database.

    Parameters
    ----------
    settings
        Where the database and the store are.
    curator
        Who decides, where a browser does not say who is before it.
    on_submit
        Called with every curation that was submitted, in a thread of its own.

    Raises
    ------
    ParameterError
        When the curator's name is none.
    DatabaseError
        When there is no database yet, or it is of another version.
    """

    settings: Settings
    curator: str
    on_submit: Callable[[Curated], None] | None = None
    archive: Archive = field(init=False)
    workspace: Workspace = field(init=False)
    _opened: OrderedDict[TaskKey, OpenedProcessing] = field(default_factory=OrderedDict, init=False)
    _following: dict[str, Following] = field(default_factory=dict, init=False)
    _decisions: OrderedDict[tuple[TaskKey, str], Decisions] = field(default_factory=OrderedDict, init=False)
    _threads: list[threading.Thread] = field(default_factory=list, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def __post_init__(self) -> None:
        checked_name(self.curator)
        self.archive = Archive.open(self.settings, create=False)
        self.workspace = Workspace(self.settings)

    def opened(self, task: TaskKey) -> OpenedProcessing:
        """Return a processing opened before, or open it; few are kept.

        Raises
        ------
        NotFoundError
            When the task was not processed.
        StoreError
            When its result cannot be read.
        """
        dropped = []
        with self._lock:
            if task not in self._opened:
                self._opened[task] = OpenedProcessing(self.archive, self.workspace, task)
            self._opened.move_to_end(task)
            found = self._opened[task]
            while len(self._opened) > _OPENED_AT_ONCE:
                dropped.append(self._opened.popitem(last=False)[1])
        for old in dropped:
            old.close()
        return found

    def known_decisions(self, task: TaskKey, author: str) -> Decisions | None:
        """Return the decisions of a person's draft of a processing as they were last seen, or None."""
        with self._lock:
            return self._decisions.get((task, author))

    def remember_decisions(self, task: TaskKey, author: str, decisions: Decisions) -> None:
        """Keep the decisions of a draft at hand; the database is what counts, and every change comes by it."""
        with self._lock:
            self._decisions[task, author] = decisions
            self._decisions.move_to_end((task, author))
            while len(self._decisions) > _DRAFTS_AT_ONCE:
                self._decisions.popitem(last=False)

    def forget_decisions(self, task: TaskKey, author: str) -> None:
        """Forget the decisions of a draft that was submitted."""
        with self._lock:
            self._decisions.pop((task, author), None)

    def follow(self, curated: Curated) -> Following:
        """Call ``on_submit`` in a thread of its own; the submission is in the database, whatever becomes of it."""
        begun = Following(uuid.uuid4().hex, "done" if self.on_submit is None else "running")
        with self._lock:
            self._following[begun.submission_id] = begun
            if self.on_submit is not None:
                thread = threading.Thread(target=self._call, args=(begun, curated), name=f"after {curated.key}")
                self._threads = [one for one in self._threads if one.is_alive()] + [thread]
                thread.start()
        return begun

    def _call(self, begun: Following, curated: Curated) -> None:
        try:
            if self.on_submit is not None:
                self.on_submit(curated)
            ended = replace(begun, state="done")
        except Exception as error:  # noqa: BLE001 - whatever the caller's function does, the person is told
            _log.exception("What follows the submission of %s failed; the curation itself is kept", curated.key)
            ended = replace(begun, state="failed", message=f"{type(error).__name__}: {error}")
        with self._lock:
            self._following[begun.submission_id] = ended

    def following(self, submission_id: str) -> Following:
        """Return what became of what follows a submission.

        Raises
        ------
        NotFoundError
            When this server knows of none.
        """
        with self._lock:
            found = self._following.get(submission_id)
        if found is None:
            raise NotFoundError("This server knows nothing of that submission: was it started again since?")
        return found

    def close(self) -> None:
        """Wait for what follows submissions, end the work in the background, close the database's connections."""
        for thread in self._threads:
            thread.join()
        with self._lock:
            opened, self._opened = list(self._opened.values()), OrderedDict()
        for one in opened:
            one.close()
        self.workspace.close()
        self.archive.close()

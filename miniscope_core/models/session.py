"""The session: one sitting with one subject, in which one or more recordings are made."""

from typing import ClassVar

from sqlmodel import Field

from miniscope_core.models.base import Entity, foreign_key, primary_key
from miniscope_core.models.types import LocalTime, LocalTimeColumn, RowId, StoredPath


class SessionBase(Entity):
    """One sitting with one subject."""

    natural_key: ClassVar[tuple[str, ...]] = ("subject_pk", "session_datetime")
    session_datetime: LocalTime = Field(
        sa_type=LocalTimeColumn, description="Start, local time at the rig without zone"
    )
    session_note: str = Field(default="", description="What the experimenter remarked")


class Session(SessionBase, table=True):
    """One sitting with one subject."""

    id: RowId = primary_key()
    subject_pk: int = foreign_key("subject", "The animal")
    project_pk: int | None = foreign_key("project", "Project it belongs to", optional=True, index=True)
    location_pk: int | None = foreign_key("location", "Room or rig", optional=True)


class SessionExperimenterBase(Entity):
    """A person who took part in a session."""

    natural_key: ClassVar[tuple[str, ...]] = ("session_pk", "user_pk")


class SessionExperimenter(SessionExperimenterBase, table=True):
    """A person who took part in a session."""

    id: RowId = primary_key()
    session_pk: int = foreign_key("session", "The session")
    user_pk: int = foreign_key("user", "The person", index=True)


class SessionDirectoryBase(Entity):
    """Where the files of a session lie."""

    natural_key: ClassVar[tuple[str, ...]] = ("session_pk",)
    session_dir: StoredPath = Field(description="Folder, relative to a raw-data root")


class SessionDirectory(SessionDirectoryBase, table=True):
    """Where the files of a session lie."""

    id: RowId = primary_key()
    session_pk: int = foreign_key("session", "The session")

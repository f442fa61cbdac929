"""Entities of the laboratory: who, where, under which project, with which device."""

from typing import ClassVar

from sqlmodel import Field

from miniscope_core.models.base import Entity, foreign_key, primary_key
from miniscope_core.models.types import Count, Name, RowId


class LabBase(Entity):
    """A laboratory."""

    natural_key: ClassVar[tuple[str, ...]] = ("lab",)
    lab: Name = Field(description="Name of the laboratory")
    description: str = Field(default="", description="What else to know of it")


class Lab(LabBase, table=True):
    """A laboratory."""

    id: RowId = primary_key()


class LocationBase(Entity):
    """A place where recordings are made: a room, a rig."""

    natural_key: ClassVar[tuple[str, ...]] = ("location",)
    location: Name = Field(description="Name of the room or rig")
    description: str = Field(default="", description="What else to know of it")


class Location(LocationBase, table=True):
    """A place where recordings are made: a room, a rig."""

    id: RowId = primary_key()
    lab_pk: int | None = foreign_key("lab", "Laboratory it belongs to", optional=True)


class UserBase(Entity):
    """A person who experiments or curates."""

    natural_key: ClassVar[tuple[str, ...]] = ("user",)
    user: Name = Field(description="Name of the person")
    description: str = Field(default="", description="Role, address, what else to know")


class User(UserBase, table=True):
    """A person who experiments or curates."""

    id: RowId = primary_key()
    lab_pk: int | None = foreign_key("lab", "Laboratory the person belongs to", optional=True)


class ProjectBase(Entity):
    """A project that sessions belong to."""

    natural_key: ClassVar[tuple[str, ...]] = ("project",)
    project: Name = Field(description="Name of the project")
    description: str = Field(default="", description="What it asks")


class Project(ProjectBase, table=True):
    """A project that sessions belong to."""

    id: RowId = primary_key()


class ProtocolBase(Entity):
    """A protocol, approved by an ethics committee, that subjects are kept under."""

    natural_key: ClassVar[tuple[str, ...]] = ("protocol",)
    protocol: Name = Field(description="Number or name of the protocol")
    description: str = Field(default="", description="What it allows")


class Protocol(ProtocolBase, table=True):
    """A protocol, approved by an ethics committee, that subjects are kept under."""

    id: RowId = primary_key()


class SourceBase(Entity):
    """Where subjects come from: a breeder, a colony."""

    natural_key: ClassVar[tuple[str, ...]] = ("source",)
    source: Name = Field(description="Name of the breeder or colony")
    description: str = Field(default="", description="Address, what else to know")


class Source(SourceBase, table=True):
    """Where subjects come from: a breeder, a colony."""

    id: RowId = primary_key()


class DeviceBase(Entity):
    """A miniscope (DataJoint also says Equipment)."""

    natural_key: ClassVar[tuple[str, ...]] = ("device",)
    device: Name = Field(description="Name of the device, as the laboratory calls it")
    modality: str = Field(default="", description="What it measures, as 'Calcium imaging'")
    description: str = Field(default="", description="Model, optics, what else to know")


class Device(DeviceBase, table=True):
    """A miniscope (DataJoint also says Equipment)."""

    id: RowId = primary_key()


class AnatomicalLocationBase(Entity):
    """A place in the brain."""

    natural_key: ClassVar[tuple[str, ...]] = ("recording_location_id",)
    recording_location_id: Count = Field(description="Number of the place, as the laboratory counts")
    anatomical_description: str = Field(default="", description="Region, layer, coordinates")


class AnatomicalLocation(AnatomicalLocationBase, table=True):
    """A place in the brain."""

    id: RowId = primary_key()

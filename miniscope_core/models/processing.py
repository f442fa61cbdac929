"""The processing: which recording is computed with which parameters, by whom it is claimed, what came of it."""

import uuid
from enum import StrEnum
from typing import ClassVar, Self

import sqlalchemy as sa
from pydantic import model_validator
from sqlmodel import Field

from miniscope_core.models.base import Entity, foreign_key, primary_key
from miniscope_core.models.types import (
    BigCount,
    Count,
    ExactJson,
    Finite,
    JsonDict,
    JsonList,
    Name,
    RowId,
    StoredPath,
    UtcTime,
    UtcTimeColumn,
    choice,
)


class TaskMode(StrEnum):
    """Load a result that is there, or trigger its computation."""

    LOAD = "load"
    TRIGGER = "trigger"


class ProcessingMethodBase(Entity):
    """A way to turn a movie into units."""

    natural_key: ClassVar[tuple[str, ...]] = ("processing_method",)
    processing_method: Name = Field(description="Name of the method, as in the parameters")
    description: str = Field(default="", description="What it does")


class ProcessingMethod(ProcessingMethodBase, table=True):
    """A way to turn a movie into units."""

    id: RowId = primary_key()


class ProcessingParamSetBase(Entity):
    """A set of parameters of one method; its hash tells whether the same set is there already."""

    natural_key: ClassVar[tuple[str, ...]] = ("paramset_id",)
    also_unique: ClassVar[tuple[tuple[str, ...], ...]] = (("processing_method_pk", "param_set_hash"),)
    paramset_id: Count = Field(description="Number of the parameter set")
    paramset_desc: str = Field(default="", description="What it is for")
    param_set_hash: uuid.UUID = Field(description="Hash of the parameters, by param_set_hash(); unique per method")
    params: JsonDict = Field(sa_type=ExactJson, description="Name and value of every parameter; tuples stay tuples")


class ProcessingParamSet(ProcessingParamSetBase, table=True):
    """A set of parameters of one method; its hash tells whether the same set is there already."""

    id: RowId = primary_key()
    processing_method_pk: int = foreign_key("processing_method", "Method the parameters are for")


class ProcessingTaskBase(Entity):
    """One recording to be processed with one parameter set, and who is computing it right now."""

    natural_key: ClassVar[tuple[str, ...]] = ("recording_info_pk", "paramset_pk")
    checks: ClassVar[dict[str, str]] = {"claim_expires": "(claimed_by IS NULL) = (claim_expires_at IS NULL)"}
    processing_output_dir: StoredPath = Field(
        default="", description="Where the result lies (load) or is written (trigger)"
    )
    task_mode: TaskMode = Field(
        default=TaskMode.TRIGGER,
        sa_type=choice(TaskMode),
        description="load a result that is there, or trigger its computation",
    )
    claimed_by: Name | None = Field(default=None, description="Run that computes it; none when nobody does")
    claim_expires_at: UtcTime | None = Field(
        default=None, sa_type=UtcTimeColumn, description="When the claim lapses unless renewed, UTC"
    )
    attempts: Count = Field(default=0, description="How often it was claimed")
    error: str | None = Field(default=None, description="Message of the last attempt that failed")

    @model_validator(mode="after")
    def _claim_expires(self) -> Self:
        if (self.claimed_by is None) != (self.claim_expires_at is None):
            raise ValueError("a claim has both claimed_by and claim_expires_at, or neither")
        return self


class ProcessingTask(ProcessingTaskBase, table=True):
    """One recording to be processed with one parameter set, and who is computing it right now."""

    id: RowId = primary_key()
    recording_info_pk: int = foreign_key("recording_info", "The facts of the recording")
    paramset_pk: int = foreign_key("processing_param_set", "The parameters", index=True)


class ProcessingBase(Entity):
    """A finished computation: what was published, by which code, at what cost."""

    natural_key: ClassVar[tuple[str, ...]] = ("task_pk",)
    processing_time: UtcTime = Field(sa_type=UtcTimeColumn, description="When it was finished, UTC")
    package: Name = Field(description="Package that computed it")
    package_version: str = Field(default="", description="Version of that package")
    method: Name = Field(description="Method, as in the parameters")
    timings: JsonDict = Field(default_factory=dict, sa_type=ExactJson, description="Wall seconds per stage")
    cpu_seconds: Finite = Field(default=0.0, ge=0, description="CPU time over all processes, s")
    peak_memory_bytes: BigCount = Field(
        default=0, sa_type=sa.BigInteger, description="Highest resident memory of the process tree, bytes"
    )
    unit_count: Count = Field(description="Units found, accepted or not")
    accepted_count: Count = Field(description="Units the engine accepted")
    provenance: JsonDict = Field(
        default_factory=dict,
        sa_type=ExactJson,
        description="Code version, digests of the inputs, parameters as used, host",
    )
    notes: JsonList = Field(
        default_factory=list, sa_type=ExactJson, description="What a reader of the numbers should know"
    )

    @model_validator(mode="after")
    def _accepted_are_units(self) -> Self:
        if self.accepted_count > self.unit_count:
            raise ValueError(f"accepted_count: got {self.accepted_count}, expected at most {self.unit_count} units")
        return self


class Processing(ProcessingBase, table=True):
    """A finished computation: what was published, by which code, at what cost."""

    id: RowId = primary_key()
    task_pk: int = foreign_key("processing_task", "The task it fulfils")
    publication_pk: int = foreign_key("publication", "Where its arrays are", index=True)

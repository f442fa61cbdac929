"""Addresses of what lies in the object store: published prefixes and the arrays below them."""

from enum import StrEnum
from typing import ClassVar

import sqlalchemy as sa
from sqlmodel import Field

from miniscope_core.models.base import Entity, foreign_key, primary_key
from miniscope_core.models.types import (
    BigCount,
    Count,
    ExactJson,
    JsonList,
    KeyText,
    Name,
    Prefix,
    RowId,
    Sha256,
    UtcTime,
    UtcTimeColumn,
    choice,
)


class ArrayLayout(StrEnum):
    """How an array lies in the store: as one array, or as the three of a matrix compressed by row."""

    DENSE = "dense"
    CSR = "csr"


class DatabaseIdentityBase(Entity):
    """Which database this is: its one row, made with it; what it publishes lies in the store below that name."""

    natural_key: ClassVar[tuple[str, ...]] = ("database_id",)
    checks: ClassVar[dict[str, str]] = {"one_row": "id = 1"}
    database_id: KeyText = Field(description="UUID, given by chance when the database was made")


class DatabaseIdentity(DatabaseIdentityBase, table=True):
    """Which database this is: its one row, made with it; what it publishes lies in the store below that name."""

    id: RowId = primary_key()


class PublicationBase(Entity):
    """One immutable prefix of the object store; the row is what makes it real."""

    natural_key: ClassVar[tuple[str, ...]] = ("prefix",)
    prefix: Prefix = Field(description="Address below the root of the store")
    kind: Name = Field(description="What was published: recording, processing …")
    object_count: Count = Field(description="Objects below the prefix")
    nbytes: BigCount = Field(sa_type=sa.BigInteger, description="Their size together, bytes")
    manifest_sha256: Sha256 = Field(description="Digest of the list of objects and digests")
    created_at: UtcTime = Field(sa_type=UtcTimeColumn, description="When it was published, UTC")


class Publication(PublicationBase, table=True):
    """One immutable prefix of the object store; the row is what makes it real."""

    id: RowId = primary_key()


class StoredArrayBase(Entity):
    """One array of a publication: where it is and what it holds."""

    natural_key: ClassVar[tuple[str, ...]] = ("publication_pk", "name")
    name: Name = Field(description="Path below the prefix; of a sparse matrix, the common part of its three arrays")
    layout: ArrayLayout = Field(
        default=ArrayLayout.DENSE, sa_type=choice(ArrayLayout), description="dense, or csr (compressed by row)"
    )
    shape: JsonList = Field(sa_type=ExactJson, description="Length along each axis; of the matrix, if sparse")
    dtype: Name = Field(description="Type of the values, as NumPy writes it")
    unit: str = Field(description="Unit of the values; 1 if they have none")
    axes: JsonList = Field(sa_type=ExactJson, description="Name of each axis")


class StoredArray(StoredArrayBase, table=True):
    """One array of a publication: where it is and what it holds."""

    id: RowId = primary_key()
    publication_pk: int = foreign_key("publication", "What it is part of")

"""The rows that every database has: programs, channels, methods, kinds of masks."""

from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from miniscope_core.models.base import Entity, make, table_of
from miniscope_core.models.processing import ProcessingMethod
from miniscope_core.models.recording import AcquisitionSoftware, Channel
from miniscope_core.models.results import ActivityExtractionMethod, MaskClassificationMethod, MaskKind, MaskType

LOOKUPS: Final[dict[type[Entity], tuple[dict[str, Any], ...]]] = {
    AcquisitionSoftware: (
        {"acquisition_software": "Miniscope-DAQ-V3", "description": "Miniscope DAQ software, legacy: msCam*.avi"},
        {"acquisition_software": "Miniscope-DAQ-V4", "description": "Miniscope-DAQ-QT: one folder per device"},
        {"acquisition_software": "Inscopix", "description": "Inscopix: .isxd and its exports"},
        {"acquisition_software": "mio", "description": "Wire-free miniscopes: one AVI and a CSV by buffer"},
        {"acquisition_software": "Bonsai", "description": "OpenEphys.Miniscope in Bonsai: AVI and CSV"},
        {"acquisition_software": "Video", "description": "Video files of an unknown program, at a rate given"},
        {"acquisition_software": "TIFF", "description": "TIFF stacks of an unknown program, at a rate given"},
        {"acquisition_software": "HDF5", "description": "A dataset of an HDF5 file, at a rate given"},
        {"acquisition_software": "NWB", "description": "An imaging series of a Neurodata Without Borders file"},
    ),
    Channel: tuple({"channel": number} for number in range(5)),
    ProcessingMethod: (
        {"processing_method": "caiman", "description": "CaImAn, in a process of its own"},
        {"processing_method": "cnmfe", "description": "Built-in one-photon engine"},
    ),
    MaskType: tuple({"mask_type": kind.value} for kind in MaskKind),
    MaskClassificationMethod: (
        {"mask_classification_method": "caiman_default_classifier", "description": "CaImAn's component evaluation"},
        {
            "mask_classification_method": "cnmfe_default_classifier",
            "description": "Accepted units as large and round as a cell body are somata",
        },
        {"mask_classification_method": "curator", "description": "What the person who curated takes a mask for"},
    ),
    ActivityExtractionMethod: (
        {"extraction_method": "caiman_deconvolution", "description": "CaImAn's S: deconvolved, unit of the traces"},
        {
            "extraction_method": "caiman_dff",
            "description": "CaImAn's F_dff where it was divided by a baseline with background in it",
        },
        {
            "extraction_method": "caiman_detrended",
            "description": "CaImAn's F_dff where only the slow baseline was taken off; not ΔF/F",
        },
        {"extraction_method": "cnmfe_deconvolution", "description": "Built-in engine: deconvolved, unit of the traces"},
        {"extraction_method": "cnmfe_dff", "description": "Built-in engine: change over baseline fluorescence"},
    ),
}


def fill_lookups(session: Session) -> None:
    """Insert the lookup rows that are not there yet; those that are stay as they are.

    Safe when several processes do it at once. Committing is the caller's.
    """
    for entity, rows in LOOKUPS.items():
        values = [make(entity, **row).model_dump(exclude={"id"}) for row in rows]
        table = table_of(entity)
        key = table.c[entity.natural_key[0]]
        present = set(session.scalars(sa.select(key)))
        missing = [row for row in values if row[key.name] not in present]
        if missing:
            session.execute(_insert_if_absent(session, table), missing)


def _insert_if_absent(session: Session, table: sa.Table) -> sa.Insert:
    if session.get_bind().dialect.name == "postgresql":
        return postgresql.insert(table).on_conflict_do_nothing()
    return sqlite.insert(table).on_conflict_do_nothing()

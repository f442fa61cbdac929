"""Parameters of CaImAn, by its own names, with defaults that fit one-photon miniscopes.

Names, units and meaning are CaImAn's (``caiman/source_extraction/cnmf/params.py`` of 1.12.1); what is left out follows
from the cell's width or from the method. The flat dictionary of a DataJoint parameter set is valid as it is.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BeforeValidator, Field, PositiveInt, model_validator

from miniscope_core.models.parameter_base import EngineParameters, expert

GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "data": ("fr", "decay_time"),
    "motion": (
        *("pw_rigid", "max_shifts", "gSig_filt", "strides", "overlaps", "max_deviation_rigid", "border_nan"),
        *("niter_rig", "num_frames_split", "shifts_opencv", "nonneg_movie"),
    ),
    "init": (
        *("method_init", "K", "gSig", "gSiz", "tsub", "ssub", "nb", "min_corr", "min_pnr", "normalize_init"),
        *("center_psf", "ssub_B", "ring_size_factor"),
    ),
    "preprocess": ("p",),
    "temporal": ("p", "method_deconvolution"),
    "spatial": ("update_background_components",),
    "patch": (
        *("rf", "stride", "only_init", "nb_patch", "low_rank_background", "del_duplicates", "border_pix"),
        *("n_processes", "p_ssub", "p_tsub"),
    ),
    "merging": ("merge_thr",),
    "quality": (
        *("min_SNR", "SNR_lowest", "rval_thr", "rval_lowest", "use_cnn", "min_cnn_thr", "cnn_lowest"),
        *("use_ecc", "max_ecc"),
    ),
}
"""CaImAn's groups, and the parameters that go into each; ``p`` goes into two."""
RESERVED: Final[Mapping[str, frozenset[str]]] = {
    "data": frozenset({"fnames", "dims", "var_name_hdf5", "caiman_version", "last_commit"}),
    "motion": frozenset({"is3D", "indices", "min_mov"}),
}
"""What the engine decides: it gives CaImAn one movie in two dimensions."""
SIGMA_OF_DIAMETER: Final = 4 / 13
"""``gSig`` in widths of a cell at half height."""
_FILTER_SIGMA: Final = 5 / 13
_PATCH_CELLS: Final = 3


def _pair(value: Any) -> Any:
    """Read one number as the same along y and x."""
    return (value, value) if isinstance(value, int) and not isinstance(value, bool) else value


Pair = Annotated[tuple[PositiveInt, PositiveInt], BeforeValidator(_pair)]
"""Along y and x, px."""


class CaimanParameters(EngineParameters):
    """Parameters of CaImAn's motion correction, CNMF-E or CNMF, and component evaluation; CaImAn's own names.

    Whatever has no value is filled in by :meth:`complete` from the cell's width and the method, or by the engine from
    the recording: ``gSig``, ``gSiz``, ``gSig_filt``, ``rf`` and ``stride`` follow from the width.
    """

    method: Literal["caiman"] = "caiman"
    fr: float | None = Field(
        default=None, gt=0, le=1000, description="Frame rate, Hz; default: the recording's frame clock"
    )
    decay_time: float = Field(default=0.6, gt=0, le=10, description="Length of a typical transient, s")
    pw_rigid: bool = Field(default=False, description="Piece-wise rigid motion correction, in place of rigid")
    max_shifts: Pair = Field(default=(15, 15), description="Largest shift of a frame along y and x, px")
    method_init: Literal["corr_pnr", "greedy_roi"] = Field(
        default="corr_pnr",
        description="corr_pnr: CNMF-E for one-photon miniscopes; greedy_roi: CNMF for two-photon ones, which needs K",
    )
    K: int | None = Field(
        default=None,
        ge=1,
        le=10_000,
        description="Components, in each patch where there are patches; default: as many as min_corr and min_pnr let "
        "pass",
    )
    min_corr: float = Field(default=0.80, gt=0, lt=1, description="Least local correlation of a seed, for corr_pnr")
    min_pnr: float = Field(default=5.0, gt=0, description="Least peak-to-noise ratio of a seed, for corr_pnr")
    min_SNR: float = Field(default=2.5, ge=0, description="Signal-to-noise ratio above which a component is accepted")
    rval_thr: float = Field(
        default=0.85, ge=-1, le=1, description="Spatial consistency above which a component is accepted"
    )
    use_cnn: bool = Field(
        default=False,
        description="Also ask CaImAn's classifier of shapes; it was trained on two-photon cells and needs the model "
        "that caimanmanager installs",
    )
    refit: bool = Field(
        default=False, description="Fit once more on the whole field, from what the patches found; slow, much memory"
    )
    # -- motion
    gSig_filt: Pair | None = Field(
        default=None,
        description="Width of the filter before motion is estimated, along y and x, px; default for corr_pnr: 5 for "
        "cells of 13 px. Too small costs most of the accuracy",
        json_schema_extra=expert,
    )
    strides: Pair = Field(
        default=(48, 48), description="Distance of patches that move by themselves, px", json_schema_extra=expert
    )
    overlaps: Pair = Field(default=(24, 24), description="Overlap of those patches, px", json_schema_extra=expert)
    max_deviation_rigid: int = Field(
        default=3,
        ge=0,
        le=100,
        description="Largest difference of a patch's shift from the frame's, px",
        json_schema_extra=expert,
    )
    border_nan: Literal["copy", "min"] = Field(
        default="copy",
        description="What fills the border that moved in: a copy of the edge, or the least value",
        json_schema_extra=expert,
    )
    niter_rig: int = Field(
        default=1, ge=1, le=20, description="Passes of rigid motion correction", json_schema_extra=expert
    )
    num_frames_split: int = Field(
        default=80, ge=10, description="Frames corrected at once by a process", json_schema_extra=expert
    )
    shifts_opencv: bool = Field(
        default=True,
        description="Shift by interpolation (fast), not by Fourier transformation",
        json_schema_extra=expert,
    )
    nonneg_movie: bool = Field(
        default=True, description="Raise the corrected movie above zero", json_schema_extra=expert
    )
    # -- init
    gSig: Pair | None = Field(
        default=None,
        description="Half width of a cell (standard deviation), along y and x, px; default: 4 for cells of 13 px",
        json_schema_extra=expert,
    )
    gSiz: Pair | None = Field(
        default=None,
        description="Width of the box around a cell, px; default: four times gSig, plus one",
        json_schema_extra=expert,
    )
    tsub: int = Field(default=2, ge=1, le=20, description="Frames averaged for seeding", json_schema_extra=expert)
    ssub: int = Field(default=1, ge=1, le=10, description="Pixels averaged for seeding", json_schema_extra=expert)
    nb: int | None = Field(
        default=None,
        ge=-1,
        le=100,
        description="Background components; 0: the ring model alone; -1: its exact form. Default: 0 for corr_pnr, 2 "
        "for greedy_roi",
        json_schema_extra=expert,
    )
    normalize_init: bool | None = Field(
        default=None,
        description="Equalise pixels before seeding; default: for greedy_roi only",
        json_schema_extra=expert,
    )
    center_psf: bool | None = Field(
        default=None,
        description="Filter that removes the background before seeding; default: for corr_pnr only",
        json_schema_extra=expert,
    )
    ssub_B: int = Field(
        default=2, ge=1, le=10, description="Pixels averaged for the ring background", json_schema_extra=expert
    )
    ring_size_factor: float = Field(
        default=1.4, gt=0, le=10, description="Radius of the ring, in gSiz", json_schema_extra=expert
    )
    # -- preprocess, temporal, spatial
    p: int = Field(
        default=1,
        ge=0,
        le=2,
        description="Order of the indicator's dynamics; 2: visible rise",
        json_schema_extra=expert,
    )
    method_deconvolution: Literal["oasis", "cvxpy"] = Field(
        default="oasis", description="Solver of the deconvolution", json_schema_extra=expert
    )
    update_background_components: bool = Field(
        default=True, description="Update the background with the footprints", json_schema_extra=expert
    )
    # -- patch
    rf: int | None = Field(
        default=None,
        ge=0,
        le=2000,
        description="Half side of a patch, px; 0: the whole field at once. Default: 40 for cells of 13 px, or the "
        "whole of a field that is smaller than such a patch",
        json_schema_extra=expert,
    )
    stride: int | None = Field(
        default=None,
        ge=1,
        le=2000,
        description="Overlap of patches, px; default: half of rf",
        json_schema_extra=expert,
    )
    only_init: bool | None = Field(
        default=None,
        description="Within a patch only seed; default: for corr_pnr only",
        json_schema_extra=expert,
    )
    nb_patch: int | None = Field(
        default=None,
        ge=-1,
        le=100,
        description="Background components of a patch; default: nb",
        json_schema_extra=expert,
    )
    low_rank_background: bool | None = Field(
        default=None,
        description="Background of the whole field of low rank; default: for greedy_roi only",
        json_schema_extra=expert,
    )
    del_duplicates: bool = Field(
        default=True, description="Merge what overlapping patches found twice", json_schema_extra=expert
    )
    border_pix: int = Field(default=0, ge=0, le=500, description="Border without seeds, px", json_schema_extra=expert)
    p_ssub: int = Field(default=1, ge=1, le=10, description="Pixels averaged in a patch", json_schema_extra=expert)
    p_tsub: int = Field(default=1, ge=1, le=20, description="Frames averaged in a patch", json_schema_extra=expert)
    n_processes: int | None = Field(
        default=None, ge=1, le=256, description="Processes; default: MINISCOPE_WORKERS", json_schema_extra=expert
    )
    # -- merging, quality
    merge_thr: float = Field(
        default=0.7,
        gt=0,
        le=1,
        description="Trace correlation above which overlapping components merge",
        json_schema_extra=expert,
    )
    SNR_lowest: float = Field(
        default=0.5, ge=0, description="Signal-to-noise ratio below which one is rejected", json_schema_extra=expert
    )
    rval_lowest: float = Field(
        default=-1.0, ge=-1, le=1, description="Consistency below which one is rejected", json_schema_extra=expert
    )
    min_cnn_thr: float = Field(
        default=0.9, ge=0, le=1, description="Classifier's probability that accepts", json_schema_extra=expert
    )
    cnn_lowest: float = Field(
        default=0.1, ge=0, le=1, description="Classifier's probability that rejects", json_schema_extra=expert
    )
    use_ecc: bool = Field(default=False, description="Reject what is elongated", json_schema_extra=expert)
    max_ecc: float = Field(default=3.0, ge=1, description="Largest elongation accepted", json_schema_extra=expert)
    extra: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description="Further parameters of CaImAn, by its groups, as JSON: passed on unchecked, and recorded. "
        '{"init": {"nIter": 10}}',
        json_schema_extra=expert,
    )

    @model_validator(mode="before")
    @classmethod
    def _flatten(cls, values: Any) -> Any:
        """Take CaImAn's groups apart, and read ``rf`` None, which is CaImAn's word for no patches."""
        if not isinstance(values, Mapping):
            return values
        flat = {name: value for name, value in values.items() if not _is_group(name, value)}
        for group in (name for name, value in values.items() if _is_group(name, value)):
            for name, value in values[group].items():
                if name in flat and flat[name] != value:
                    raise ValueError(f"{name}: got {flat[name]!r} and {value!r} in {group}, expected one value")
                flat[name] = value
        return {**flat, "rf": 0} if "rf" in flat and flat["rf"] is None else flat

    def _contradictions(self) -> Iterator[str]:
        # What follows from a width in µm is known, and looked at, once that is resolved for a recording.
        whole = self if self.given_diameter_px is None else self.complete()
        sigma, size, rf, stride = whole.gSig, whole.gSiz, whole.rf or 0, whole.stride or 0
        if sigma and size and any(one <= other for one, other in zip(size, sigma, strict=True)):
            yield f"gSiz: got {size}, expected more than gSig, {sigma}. Four times gSig plus one is usual"
        if rf and size and rf <= max(size):
            yield f"rf: got {rf}, expected more than gSiz, {max(size)}, or 0 for no patches. Give a larger one"
        if rf and stride >= rf:
            yield f"stride: got {stride}, expected less than rf, {rf}: it is how far patches overlap"
        if self.method_init == "greedy_roi" and self.K is None:
            yield "K: got none, expected a number for greedy_roi: components to look for in a patch"
        if self.method_init == "greedy_roi" and self.nb is not None and self.nb < 1:
            yield f"nb: got {self.nb}, expected at least 1 for greedy_roi: it has no ring background"
        for low, high in (("SNR_lowest", "min_SNR"), ("rval_lowest", "rval_thr"), ("cnn_lowest", "min_cnn_thr")):
            if getattr(self, low) > getattr(self, high):
                yield f"{low}: got {getattr(self, low):g}, expected no more than {high}, {getattr(self, high):g}"
        yield from self._problems_of_extra()

    def _problems_of_extra(self) -> Iterator[str]:
        for group, values in self.extra.items():
            if group not in GROUPS:
                yield f"extra: got the group {group!r}, expected one of {', '.join(GROUPS)}"
                continue
            for name in values:
                if name in GROUPS[group]:
                    yield f"extra: got {name!r} in {group}, expected no parameter that has a name here. Give {name}="
                elif name in RESERVED.get(group, ()):
                    yield f"extra: got {name!r} in {group}, which the engine sets itself. Leave it out"

    def complete(self) -> Self:
        """Return the parameters with everything filled in that follows from the cell's width and the method.

        13 px wide cells give ``gSig`` 4, ``gSiz`` 17, ``gSig_filt`` 5, ``rf`` 40 and ``stride`` 20; these were tuned on
        a simulated recording with such cells, whose shifts a ``gSig_filt`` of 3 got three times as wrong.

        Raises
        ------
        ParameterError
            While the cell's width is known only in µm.
        """
        one_photon = self.method_init == "corr_pnr"
        width = self.cell_diameter_px
        sigma = self.gSig or _pair(max(1, round(width * SIGMA_OF_DIAMETER)))
        nb = (0 if one_photon else 2) if self.nb is None else self.nb
        size = self.gSiz or (4 * sigma[0] + 1, 4 * sigma[1] + 1)
        rf = max(round(_PATCH_CELLS * width) + 1, max(size) + 1) if self.rf is None else self.rf
        defaults = {
            "gSig": sigma,
            "gSiz": size,
            "gSig_filt": _pair(max(1, round(width * _FILTER_SIGMA))) if one_photon else None,
            "rf": rf,
            "stride": max(1, rf // 2) if rf else None,
            "nb": nb,
            "nb_patch": nb,
            "normalize_init": not one_photon,
            "center_psf": one_photon,
            # Without patches there is nothing after seeding that would refine it.
            "only_init": one_photon and rf > 0,
            "low_rank_background": None if one_photon else True,
        }
        return self.model_copy(update={name: value for name, value in defaults.items() if getattr(self, name) is None})

    def groups(self) -> dict[str, dict[str, Any]]:
        """Return the parameters as CaImAn groups them, with ``extra``; complete them first."""
        grouped = {group: {name: getattr(self, name) for name in names} for group, names in GROUPS.items()}
        grouped["patch"]["rf"] = self.rf or None
        for group, values in self.extra.items():
            grouped[group].update(values)
        return grouped


def _is_group(name: str, value: Any) -> bool:
    return name in GROUPS and isinstance(value, Mapping)

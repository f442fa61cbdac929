"""Curation policies: typed rules, and the decision each automatic one makes on a result."""

from functools import singledispatch
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from miniscope_core.errors import CurationError
from miniscope_core.quality.masks import measure_masks
from miniscope_core.result import ProcessingResult


class Policy(BaseModel):
    """What every policy has in common: immutable, no unknown names."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class AcceptEngine(Policy):
    """Take the engine's own acceptance, unit by unit."""

    kind: Literal["accept_engine"] = "accept_engine"


class Bounds(BaseModel):
    """Bounds on quality numbers; those that are not set bound nothing."""

    min_snr: float | None = Field(default=None, ge=0, description="Lowest peak signal-to-noise ratio of the trace")
    min_r_value: float | None = Field(
        default=None, ge=-1, le=1, description="Lowest correlation of the footprint with the movie at its events"
    )
    min_cnn_pred: float | None = Field(default=None, ge=0, le=1, description="Lowest probability of the classifier")
    min_npix: int | None = Field(default=None, ge=1, description="Fewest pixels with weight")
    max_npix: int | None = Field(default=None, ge=1, description="Most pixels with weight")
    only_engine_accepted: bool = Field(
        default=False, description="Take only units that the engine accepted too; otherwise its judgement is not asked"
    )

    @property
    def bounds(self) -> dict[str, float]:
        """The bounds that are set, by their names."""
        names = ("min_snr", "min_r_value", "min_cnn_pred", "min_npix", "max_npix")
        return {name: value for name in names if (value := getattr(self, name)) is not None}


class _ThresholdsKind(Policy):
    kind: Literal["thresholds"] = "thresholds"


class Thresholds(Bounds, _ThresholdsKind):
    """Take the units whose quality numbers are within bounds.

    A bound on a number that a unit does not have (a classifier's probability where none ran) is an error where no unit
    has it, and rejects the unit where only that one lacks it.
    """

    # Fields come in the reverse order of the bases: ``kind`` is the first, as everywhere.
    @model_validator(mode="after")
    def _some_bound(self) -> Self:
        if not self.bounds:
            raise ValueError("expected at least one bound: min_snr, min_r_value, min_cnn_pred, min_npix or max_npix")
        if self.min_npix is not None and self.max_npix is not None and self.min_npix > self.max_npix:
            raise ValueError(f"min_npix {self.min_npix} is above max_npix {self.max_npix}: no unit fits both")
        return self


AutomaticPolicy = Annotated[AcceptEngine | Thresholds, Field(discriminator="kind")]
"""A policy that decides by itself."""


class Manual(Policy):
    """Wait for a person, who starts from what an automatic policy decides."""

    kind: Literal["manual"] = "manual"
    start: AutomaticPolicy = Field(default=AcceptEngine(), description="What the person starts from")
    time_limit_h: float | None = Field(
        default=None, gt=0, le=24 * 366, description="Hours to wait for the person; none: without limit"
    )
    at_time_limit: Literal["fail", "accept_start", "reject_all"] = Field(
        default="fail",
        description="When nobody came: fail, go on with what the person would have started from, or with no cell",
    )
    without_server: Literal["fail", "block"] = Field(
        default="fail",
        description="A run that cannot be suspended (called from Python, not by a deployment): fail at once, or wait "
        "in its process",
    )


CurationPolicy = Annotated[AcceptEngine | Thresholds | Manual, Field(discriminator="kind")]
"""Any policy, told apart by ``kind``."""


@singledispatch
def decide(policy: Policy, result: ProcessingResult) -> NDArray[np.bool_]:
    """Decide on every unit of a result.

    Parameters
    ----------
    policy
        An automatic rule.
    result
        A finished result.

    Returns
    -------
    ndarray of bool
        (unit,): True where the unit is taken for a cell.

    Raises
    ------
    CurationError
        When a threshold asks for a number that no unit has.
    TypeError
        When the policy does not decide by itself.
    """
    raise TypeError(f"Policy {type(policy).__name__} does not decide by itself.")


@decide.register
def _accept_engine(policy: AcceptEngine, result: ProcessingResult) -> NDArray[np.bool_]:
    return result.accepted


@decide.register
def _thresholds(policy: Thresholds, result: ProcessingResult) -> NDArray[np.bool_]:
    accepted = result.accepted.copy() if policy.only_engine_accepted else np.ones(result.unit_count, bool)
    for name, bound in policy.bounds.items():
        side, _, metric = name.partition("_")
        values = _metric(result, metric)
        if values is None:
            raise CurationError(
                f"Threshold {name}={bound:g} of the policy: the result has no {metric}. "
                f"Leave {name} out, or compute with an engine that measures it."
            )
        with np.errstate(invalid="ignore"):
            accepted &= values >= bound if side == "min" else values <= bound
    return accepted


def _metric(result: ProcessingResult, name: str) -> NDArray[Any] | None:
    """Return a quality number of every unit; NaN where a unit lacks it, None where the result has none."""
    values = measure_masks(result.footprints, result.shape).npix if name == "npix" else result.optional(name)
    lacking = values is None or (values.size > 0 and np.isnan(values.astype(np.float64)).all())
    return None if lacking else values

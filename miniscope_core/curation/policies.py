"""Curation policies: typed rules, and the decision each makes on a result."""

from functools import singledispatch
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from miniscope_core.result import ProcessingResult


class Policy(BaseModel):
    """What every policy has in common: immutable, no unknown names."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class AcceptEngine(Policy):
    """Take the engine's own acceptance, unit by unit."""

    kind: Literal["accept_engine"] = "accept_engine"


CurationPolicy = Annotated[AcceptEngine, Field(discriminator="kind")]
"""Any policy, told apart by ``kind``."""


@singledispatch
def decide(policy: Policy, result: ProcessingResult) -> NDArray[np.bool_]:
    """Decide on every unit of a result.

    Parameters
    ----------
    policy
        The rule.
    result
        A finished result.

    Returns
    -------
    ndarray of bool
        (unit,): True where the unit is taken for a cell.

    Raises
    ------
    TypeError
        When nobody wrote down how this policy decides.
    """
    raise TypeError(f"Policy {type(policy).__name__} has no rule: register one with decide.register.")


@decide.register
def _accept_engine(policy: AcceptEngine, result: ProcessingResult) -> NDArray[np.bool_]:
    return result.accepted

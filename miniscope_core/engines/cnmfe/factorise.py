"""From corrected movie to units: look for seeds, fit, take apart what is two, renew the background, look again."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from miniscope_core.engines.cnmfe.background import Ring, fit_ring, remove_background
from miniscope_core.engines.cnmfe.correct import Corrected
from miniscope_core.engines.cnmfe.factors import Factors, merge, update_footprints, update_traces
from miniscope_core.engines.cnmfe.footprints import Footprints
from miniscope_core.engines.cnmfe.frames import bin_frame
from miniscope_core.engines.cnmfe.movie import ScratchMovie
from miniscope_core.engines.cnmfe.parallel import Context
from miniscope_core.engines.cnmfe.quality import spatial_r
from miniscope_core.engines.cnmfe.seeds import SeedImages, choose, look, plant
from miniscope_core.engines.cnmfe.split import split
from miniscope_core.models.parameters import CnmfeParameters

_STAGE: Final = "factorisation"


@dataclass(frozen=True)
class Fit:
    """What the factorisation gives."""

    factors: Factors
    ring: Ring
    images: SeedImages
    """Of the first look, when nothing was taken out yet."""
    seeds: NDArray[np.int64]
    """(seed, 2) as (y, x) in pixels of the fit, in the order they were tried."""
    r_value: NDArray[np.float32]


def factorise(corrected: Corrected, parameters: CnmfeParameters, scratch: Path, context: Context) -> Fit:
    """Find the units of a corrected movie and fit footprints, traces and background to it.

    Parameters
    ----------
    corrected
        Motion-corrected movie.
    parameters
        Cell diameter and thresholds.
    scratch
        Folder for the background-free movie.
    context
        Workers and progress.
    """
    work = _Work(corrected, parameters, scratch, context)
    for step in _SCHEDULE:
        step(work)
        if not work.factors.footprints:
            break  # nothing was covered, and the background needs no second fit
    return work.finish()


@dataclass
class _Work:
    """The state of one factorisation."""

    corrected: Corrected
    parameters: CnmfeParameters
    scratch: Path
    context: Context
    factors: Factors = field(init=False)
    looks: list[SeedImages] = field(default_factory=list)
    planted: list[NDArray[np.int64]] = field(default_factory=list)
    done: int = 0

    def __post_init__(self) -> None:
        movie = self.corrected.fit
        diameter = self.parameters.cell_diameter_px / self.corrected.bin_factor
        nothing = Footprints((movie.shape[1], movie.shape[2]), diameter)
        self.factors = Factors(nothing, np.zeros((0, movie.shape[0]), np.float32))
        self.mean = bin_frame(self.corrected.average, self.corrected.bin_factor)
        self.ring, self.clean = self._background()

    def renew_background(self) -> None:
        """Fit the background to what the units leave over and take it out of the movie."""
        self.clean.close()
        self.ring, self.clean = self._background()
        self.factors = update_traces(self.factors, self.clean, self.context)

    def add_units(self) -> None:
        """Look at what is left over and plant a unit at every seed."""
        images = look(self.clean, self.factors, self.context)
        seeds = choose(images, self.factors.diameter, self.parameters.min_corr, self.parameters.min_pnr)
        self.factors = plant(seeds, images, self.factors, self.clean, self.context)
        self.looks.append(images)
        self.planted.append(seeds)
        self._advance()

    def refine(self) -> None:
        """Fit footprints, then traces, then join what is one cell."""
        self.factors = update_footprints(self.factors, self.clean, self.context)
        self.factors = update_traces(self.factors, self.clean, self.context)
        self.factors = merge(self.factors, self.parameters.merge_corr)
        self._advance()

    def split(self) -> None:
        """Take apart units that are two cells."""
        self.factors = split(self.factors, self.clean, self.scratch / "events.f32", self.context)
        self.factors = update_traces(self.factors, self.clean, self.context)
        self._advance()

    def finish(self) -> Fit:
        """Judge the footprints and close the working files."""
        r_value = spatial_r(self.clean, self.factors, self.context)
        self.clean.close()
        self.context.progress(_STAGE, _STEPS, _STEPS)
        return Fit(self.factors, self.ring, self.looks[0], np.concatenate(self.planted), r_value)

    def _background(self) -> tuple[Ring, ScratchMovie]:
        movie = self.corrected.fit
        ring = fit_ring(movie, self.mean, self.factors, self.context)
        clean = remove_background(movie, ring, self.factors, self.scratch / "clean.i16", self.context)
        self._advance()
        return ring, clean

    def _advance(self) -> None:
        self.done += 1
        self.context.progress(_STAGE, self.done, _STEPS)


_SCHEDULE: Final = (
    *(_Work.add_units, _Work.refine, _Work.renew_background, _Work.refine, _Work.split, _Work.refine),
    *(_Work.add_units, _Work.renew_background, _Work.refine, _Work.split, _Work.refine),
)
"""What is done in turn. The second look finds what brighter neighbours covered; a third finds mostly fragments.

Compared on four simulated recordings (CA1, cortex, CA1 and cortex of other seeds), F1: this one 0.951, 0.883, 0.973,
0.894; with a refinement before the second renewal and both once more at the end, in fourteen steps, 0.951, 0.863,
0.978, 0.896; without the refinement before each split 0.943, 0.854, 0.971, 0.887.
"""
_STEPS: Final = len(_SCHEDULE) + 2

"""Parameters in units of biology become what an engine works with, once, for one recording."""

from dataclasses import replace

import pytest

from miniscope_core.engines.resolve import resolve
from miniscope_core.errors import ParameterError
from miniscope_core.io.recording import Recording
from miniscope_core.models.parameters import CnmfeParameters
from tests.engines.conftest import Run
from tests.simulation import Simulated, simulate

IN_MICROMETRES = CnmfeParameters(cell_diameter_um=20)


@pytest.fixture(scope="module")
def recording() -> Recording:
    return simulate(frame_count=40, cell_count=3).recording()


def measured(recording: Recording, um_per_px: float) -> Recording:
    """Return a recording whose metadata tell the width of its field."""
    metadata = recording.metadata.model_copy(update={"um_width": um_per_px * recording.shape[1]})
    return replace(recording, metadata=metadata)


def test_diameter_in_pixels_stays_as_it_is(recording: Recording) -> None:
    parameters = CnmfeParameters(cell_diameter_px=11)
    assert resolve(parameters, recording) is parameters


def test_given_pixel_size_makes_pixels_of_micrometres(recording: Recording) -> None:
    resolved = resolve(CnmfeParameters(cell_diameter_um=20, pixel_size_um=1.6), recording)
    assert resolved.cell_diameter_px == pytest.approx(12.5)


def test_pixel_size_of_the_metadata_is_used_and_recorded(recording: Recording) -> None:
    resolved = resolve(IN_MICROMETRES, measured(recording, 2.0))
    assert resolved.cell_diameter_px == pytest.approx(10)
    assert (resolved.cell_diameter_um, resolved.pixel_size_um) == (20, pytest.approx(2))
    assert resolve(resolved, recording) == resolved


def test_given_pixel_size_wins_over_the_metadata(recording: Recording) -> None:
    resolved = resolve(CnmfeParameters(cell_diameter_um=20, pixel_size_um=1.6), measured(recording, 2.0))
    assert resolved.cell_diameter_px == pytest.approx(12.5)


def test_unknown_pixel_size_is_refused_with_the_remedy(recording: Recording) -> None:
    with pytest.raises(ParameterError, match=r"simulated_0.*Give pixel_size_um as well, or cell_diameter_px"):
        resolve(IN_MICROMETRES, recording)


def test_diameter_out_of_bounds_once_in_pixels_is_refused(recording: Recording) -> None:
    with pytest.raises(ParameterError, match=r"20 µm at 10 µm per px, 2 px.*greater than or equal to 4"):
        resolve(IN_MICROMETRES, measured(recording, 10.0))


def test_engine_finds_the_same_cells_by_either_unit_and_records_both(scene: Simulated, run_engine: Run) -> None:
    short = replace(scene, movie=scene.movie[:200], timestamps_s=scene.timestamps_s[:200])
    in_px = run_engine(short.recording(), cell_diameter_px=10.0)
    in_um = run_engine(measured(short.recording(), 1.5), cell_diameter_px=None, cell_diameter_um=15.0)
    assert (in_um.footprints != in_px.footprints).nnz == 0
    assert in_um.parameters["cell_diameter_px"] == pytest.approx(10)
    assert (in_um.parameters["cell_diameter_um"], in_um.parameters["pixel_size_um"]) == (15, pytest.approx(1.5))
    assert in_um.info.cell_diameter_px == pytest.approx(10)

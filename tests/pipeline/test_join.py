"""Joined recordings through the whole pipeline: one movie, one set of cells, traces split again by recording."""

from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from miniscope_core import models as m
from miniscope_core.errors import ConflictError, RecordingFormatError
from miniscope_core.io import open_joined
from miniscope_core.models.parameters import CnmfeParameters
from miniscope_core.pipeline.curate import curate_processing
from miniscope_core.pipeline.extract import extract_traces
from miniscope_core.pipeline.ingest import ingest_recording
from miniscope_core.pipeline.join import ingest_folder, ingest_joined, join_ingested
from miniscope_core.pipeline.originals import open_ingested
from miniscope_core.pipeline.process import add_parameters, add_task, process_recording
from miniscope_core.pipeline.requests import IngestOptions
from miniscope_core.progress import silent
from miniscope_core.storage.archive import Archive
from miniscope_core.workspace import Workspace
from tests.archives import StandIn, rows, snapshot
from tests.simulation import Simulated, simulate

JOIN = IngestOptions(join=True)


@pytest.fixture(scope="module")
def scene() -> Simulated:
    return simulate(shape=(72, 96), frame_count=600, cell_count=8, seed=5)


def part(scene: Simulated, frames: slice) -> Simulated:
    """Return a stretch of the scene as a recording of its own, from time 0."""
    times = scene.timestamps_s[frames]
    return Simulated(
        scene.movie[frames],
        scene.footprints,
        scene.traces[:, frames],
        scene.spikes[:, frames],
        scene.motion_px[frames],
        scene.fps,
        times - times[0],
        scene.seed,
    )


@pytest.fixture
def day(scene: Simulated, raw: Path) -> Path:
    """Write the scene as two recordings, half an hour apart, of 250 and 350 frames."""
    part(scene, slice(0, 250)).write_v4(raw / "day" / "14_30_15", start=datetime(2024, 3, 5, 14, 30, 15))
    part(scene, slice(250, 600)).write_v4(raw / "day" / "15_00_15", start=datetime(2024, 3, 5, 15, 0, 15))
    return raw / "day"


def test_each_part_names_its_own_recording_in_whatever_order_they_are_given(lite: Archive, day: Path) -> None:
    session = IngestOptions(session_datetime=datetime(2024, 3, 5, 14, 30, 15))
    keys = [ingest_recording(lite, day / name, session).key for name in ("15_00_15", "14_30_15")]
    joined = join_ingested(lite, keys, session)
    parts = [(row["joined_recording"], row["start_frame"], row["nframes"]) for row in rows(lite, m.RecordingPart)]
    assert parts == [(1, 0, 250), (0, 250, 350)]
    assert not join_ingested(lite, keys[::-1], session).changed
    assert open_ingested(lite, joined.key, silent).part_starts == (0, 250)


def test_parts_and_their_joint_are_recordings_of_one_session_recorded_once(lite: Archive, day: Path) -> None:
    first = ingest_folder(lite, day, JOIN)
    assert first.changed
    assert str(first.key) == "mouse1/2024-03-05T14:30:15/2"
    assert [row["nframes"] for row in rows(lite, m.RecordingInfo)] == [250, 350, 600]
    assert [
        (
            row["recording_id"],
            row["part_id"],
            row["joined_recording"],
            row["start_frame"],
            row["nframes"],
            row["start_s"],
        )
        for row in rows(lite, m.RecordingPart)
    ] == [(2, 0, 0, 0, 250, 0.0), (2, 1, 1, 250, 350, 1800.0)]
    before = snapshot(lite)
    again = ingest_joined(lite, day, JOIN)
    assert (again.changed, again.key) == (False, first.key)
    assert snapshot(lite) == before


def test_the_joint_is_opened_from_its_parts_and_refused_when_one_of_them_changed(lite: Archive, day: Path) -> None:
    key = ingest_joined(lite, day, JOIN).key
    opened = open_ingested(lite, key, silent)
    assert opened.part_starts == (0, 250)
    np.testing.assert_array_equal(opened.frames(248, 252), open_joined(day).frames(248, 252))
    clock = next(day.glob("15*/*/timeStamps.csv"))
    clock.write_text(clock.read_text().replace("\n1,", "\n1,1", 1))
    with pytest.raises(ConflictError, match=r"timeStamps\.csv has other content"):
        open_ingested(lite, key, silent)


def test_cells_of_the_joint_are_traced_through_all_recordings_and_split_again(
    lite: Archive, day: Path, scene: Simulated
) -> None:
    key = ingest_joined(lite, day, JOIN).key
    task = add_task(lite, key, add_parameters(lite, CnmfeParameters(cell_diameter_px=10)))
    process_recording(lite, task)
    curation = extract_traces(lite, curate_processing(lite, task).key).key
    with Workspace(lite.settings) as workspace:
        result = workspace.result(task)
        assert result.parts == (slice(0, 250), slice(250, 600))
        mask = int(workspace.masks(curation).query("accepted")["mask_id"].iloc[0])
        whole = workspace.fluorescence(curation, mask)
        assert whole.time_s[250] - whole.time_s[249] > 1780
        first, second = workspace.split(curation, whole)
        assert (len(first.values), len(second.values)) == (250, 350)
        np.testing.assert_array_equal(np.concatenate([first.values, second.values]), whole.values)
        assert second.time_s[0] == pytest.approx(0, abs=1e-6)
        alone = f"{key.parent}/1"
        np.testing.assert_allclose(second.time_s, workspace.timestamps_s(alone), atol=1e-6)
        assert workspace.parts(alone).empty


def test_a_folder_with_one_recording_has_nothing_to_join(lite: Archive, day: Path) -> None:
    with pytest.raises(RecordingFormatError, match="got 1, expected at least 2"):
        ingest_joined(lite, day / "14_30_15", JOIN)
    assert rows(lite, m.Recording) == []


def test_a_part_that_is_of_another_session_already_is_refused(lite: Archive, day: Path, engine: StandIn) -> None:
    ingest_recording(lite, day / "15_00_15")
    with pytest.raises(ConflictError, match="session_datetime"):
        ingest_joined(lite, day, JOIN)

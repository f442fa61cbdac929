"""What the page of a run shows."""

import base64
import io
import json
import re
from pathlib import Path

import pytest
from PIL import Image

from flows import process_recording, run_pipeline
from miniscope_core.models.parameters import CnmfeParameters
from miniscope_core.workspace import Workspace
from tests.flows.conftest import PARAMETERS, Piped, shown, use_archive

pytestmark = [pytest.mark.flow, pytest.mark.usefixtures("prefect_server")]

HALF_A_MEGABYTE = 500_000


def pictures(text: str) -> list[Image.Image]:
    found = re.findall(r"!\[[^\]]+\]\(data:image/png;base64,([^)]+)\)", text)
    return [Image.open(io.BytesIO(base64.b64decode(data))) for data in found]


def test_recording_is_reported_with_its_facts_and_frames(piped: Piped) -> None:
    text = shown("recording", piped.recording, piped.run_id).data
    for fact in ("| Frames | 200 |", "64 × 64 px", "20 Hz", "My V4 Miniscope", "Miniscope-DAQ-V4", "| 0.avi | video |"):
        assert fact in text, fact
    [frames] = pictures(text)
    assert frames.width > 500
    assert len(text) < HALF_A_MEGABYTE


def test_cells_are_reported_with_five_pictures_and_what_made_them(piped: Piped) -> None:
    text = shown("cells", piped.key, piped.run_id).data
    assert len(pictures(text)) == 5
    assert text.index("## Traces") < text.index("## Seeds") < text.index("## Summary images")
    assert re.search(r"\*\*\d+ of \d+ units accepted\*\* by accept_engine", text)
    for fact in ("| cell_diameter_px | 8.0 |", "| Parameter set | 0 |", "| Frames | 200 |", "MiB"):
        assert fact in text, fact
    assert len(text) < HALF_A_MEGABYTE


def test_units_are_a_table_with_a_row_each(piped: Piped, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = json.loads(shown("units", piped.key, piped.run_id).data)
    use_archive(monkeypatch, piped.home)
    with Workspace() as workspace:
        masks = workspace.masks(piped.key)
    assert [row["mask_id"] for row in rows] == list(masks["mask_id"])
    assert [row["accepted"] for row in rows] == list(masks["accepted"])
    assert [row["type"] for row in rows] == list(masks["mask_type"])
    assert [row["snr"] for row in rows] == pytest.approx(list(masks["snr"]), rel=1e-3)
    assert [row["y_px"] for row in rows] == pytest.approx(list(masks["mask_center_y"]), rel=1e-3)


def test_result_is_reported_before_anybody_curated_it(copied: Piped) -> None:
    process_recording(copied.recording, parameters=PARAMETERS)
    assert "pass the engine's own criteria" in shown("result", copied.task).data
    rows = json.loads(shown("units", copied.task).data)
    assert rows
    assert {"mask_id", "npix", "y_px", "x_px", "snr", "r_value", "accepted"} == set(rows[0])


def test_recording_without_any_cell_is_reported_too(
    recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_archive(monkeypatch, tmp_path)
    key = run_pipeline(recorded, parameters=CnmfeParameters(cell_diameter_px=8, min_pnr=10_000))
    assert "**0 of 0 units accepted**" in shown("cells", key).data
    assert json.loads(shown("units", key).data) == []

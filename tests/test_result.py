"""The result folder: what is written comes back, what is unfinished or damaged is refused, objects stay few."""

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from miniscope_core.errors import ResultError
from miniscope_core.result import (
    ARRAYS,
    FORMAT_VERSION,
    RESULT_FILE,
    ArrayWriter,
    ProcessingResult,
    ResultWriter,
    array_spec,
    load_result,
    write_step,
)
from tests.archives import FRAMES, HEIGHT, WIDTH, boxes, stand_in_arrays, write_result


@pytest.fixture
def result(tmp_path: Path) -> ProcessingResult:
    return write_result(ResultWriter(tmp_path / "result"), boxes(), stand_in_arrays())


def rewrite(folder: Path, **changes: Any) -> None:
    """Change the description of a finished result."""
    path = folder / RESULT_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


# -- round trips ------------------------------------------------------------------------------------------------------
def test_every_attribute_gives_what_was_written(result: ProcessingResult) -> None:
    arrays = stand_in_arrays()
    for name in ("fluorescence", "traces", "activity", "shifts_px", "accepted", "snr", "r_value", "timestamps_s"):
        got = getattr(result, name)
        assert np.array_equal(got, arrays[name].astype(got.dtype), equal_nan=name == "snr"), name
        assert got.dtype == array_spec(name).dtype
    assert (result.shape, result.frame_count, result.unit_count, result.fps) == ((HEIGHT, WIDTH), FRAMES, 6, 20.0)
    assert result.images.keys() == {"template", "average", "max", "correlation", "pnr"}
    assert np.allclose(result.images["max"], arrays["image_max"])
    assert result.timings == {"motion correction": 1.5, "factorisation": 2.5}
    assert (result.peak_memory_bytes, result.versions) == (2**33, {"numpy": "2"})
    assert result.parameters["method"] == "cnmfe"


def test_loaded_again_it_is_the_same(result: ProcessingResult, tmp_path: Path) -> None:
    again = load_result(tmp_path / "result")
    assert again.info == result.info
    assert (again.footprints != result.footprints).nnz == 0
    again.check("here")


def test_footprints_are_rows_over_c_ordered_pixels(result: ProcessingResult) -> None:
    image = result.footprints[[0]].toarray().reshape(result.shape)
    assert image[3:15, 5:17].all()
    assert image.sum() == 144


def test_writing_footprints_leaves_the_callers_matrix_alone(tmp_path: Path) -> None:
    mixed = sp.csr_array((np.array([1.0, 2.0, 3.0]), np.array([5, 2, 2]), np.array([0, 3])), shape=(1, 9))
    writer = ResultWriter(tmp_path / "r")
    writer.write_footprints(mixed)
    assert mixed.indices.tolist() == [5, 2, 2]
    written = write_result(
        ResultWriter(tmp_path / "s"), sp.csr_array(mixed), {}, info={"shape": (3, 3), "frame_count": 1}
    )
    assert written.footprints.toarray().tolist() == [[0, 0, 5, 0, 0, 1, 0, 0, 0]]


VALUES = st.floats(-1e6, 1e6, width=32)


@settings(max_examples=25, deadline=None)
@given(st.data(), st.integers(0, 5), st.integers(1, 40), st.integers(1, 7), st.integers(1, 9))
def test_arrays_of_any_size_come_back_exactly(
    data: st.DataObject, units: int, frames: int, height: int, width: int
) -> None:
    traces = data.draw(hnp.arrays(np.float32, (units, frames), elements=VALUES))
    images = data.draw(hnp.arrays(np.float32, (units, height, width), elements=VALUES))
    accepted = data.draw(hnp.arrays(np.bool_, units))
    with tempfile.TemporaryDirectory() as folder:
        written = write_result(
            ResultWriter(Path(folder) / "r"),
            sp.csr_array(images.reshape(units, height * width)),
            {"traces": traces, "accepted": accepted},
            info={"shape": (height, width), "frame_count": frames, "unit_count": units},
        )
        assert np.array_equal(written.traces, traces)
        assert np.array_equal(written.accepted, accepted)
        assert np.array_equal(written.footprints.toarray().reshape(images.shape), images)


def test_array_written_by_slices_equals_one_written_whole(tmp_path: Path) -> None:
    step, frames = write_step(), 2 * write_step() + 100
    values = np.arange(2 * frames, dtype=np.float32).reshape(2, frames)
    writer = ArrayWriter(tmp_path / "r")
    array = writer.create("traces", values.shape)
    for start in range(0, frames, step):
        array[:, start : start + step] = values[:, start : start + step]
    assert np.array_equal(array[...], values)
    assert array.attrs["unit"] == "a.u."


# -- few objects ----------------------------------------------------------------------------------------------------
def test_long_recording_with_many_units_is_tens_of_objects(tmp_path: Path) -> None:
    """20 minutes at 30 Hz with 300 units: 2 × 2 shards of each (unit, frame) array."""
    writer = ArrayWriter(tmp_path / "r")
    array = writer.create("traces", (300, 36_000))
    for start in range(0, 36_000, write_step()):
        array[:, start : start + write_step()] = 1.0
    writer.write("shifts_px", np.ones((36_000, 2)))
    assert len([path for path in writer.folder.rglob("*") if path.is_file()]) <= 10


def test_reading_one_unit_of_many_reads_a_part_of_the_shard(tmp_path: Path) -> None:
    array = ArrayWriter(tmp_path / "r").create("traces", (300, 36_000))
    assert array.chunks == (32, 4096)
    assert array.shards == (256, 32768)


@pytest.mark.parametrize("name", ARRAYS)
def test_every_array_of_the_format_can_be_written_empty_and_full(tmp_path: Path, name: str) -> None:
    for length in (0, 3):
        shape = (length,) * len(ARRAYS[name].axes)
        writer = ArrayWriter(tmp_path / f"{length}")
        writer.write(name, np.ones(shape))
        stored = writer._group[name]
        assert stored.shape == shape
        assert stored.dtype == ARRAYS[name].dtype
        assert stored.metadata.dimension_names == ARRAYS[name].axes


# -- refusals ---------------------------------------------------------------------------------------------------------
def test_folder_that_holds_something_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(ResultError, match="not empty"):
        ResultWriter(tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "keep"


def test_folder_is_no_result_until_it_is_finished(tmp_path: Path) -> None:
    writer = ResultWriter(tmp_path / "r")
    writer.write("traces", np.ones((2, 3)))
    with pytest.raises(ResultError, match=f"No finished result in .*: {RESULT_FILE} is missing"):
        load_result(tmp_path / "r")
    with pytest.raises(ResultError, match="No finished result"):
        load_result(tmp_path / "nowhere")


def test_unknown_array_and_wrong_axes_are_refused(tmp_path: Path) -> None:
    writer = ArrayWriter(tmp_path / "r")
    with pytest.raises(ResultError, match="Unknown array 'trace'"):
        writer.write("trace", np.ones((2, 3)))
    with pytest.raises(ResultError, match=r"'traces': got shape \(3,\)"):
        writer.write("traces", np.ones(3))


def test_array_that_is_not_there_is_named_with_those_that_are(result: ProcessingResult) -> None:
    assert result.optional("cnn_pred") is None
    with pytest.raises(ResultError, match="No array 'cnn_pred' in the result: it has accepted"):
        result.read("cnn_pred")


def test_other_format_version_is_refused_even_with_unknown_fields(result: ProcessingResult, tmp_path: Path) -> None:
    rewrite(tmp_path / "result", format_version=FORMAT_VERSION + 1, novelty=1)
    with pytest.raises(ResultError, match=f"got format version {FORMAT_VERSION + 1}, expected {FORMAT_VERSION}"):
        load_result(tmp_path / "result")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"shape": 3}', "\x00"])
def test_unreadable_description_is_one_clear_line(result: ProcessingResult, tmp_path: Path, text: str) -> None:
    (tmp_path / "result" / RESULT_FILE).write_text(text)
    with pytest.raises(ResultError, match=f"Unreadable {RESULT_FILE} at {tmp_path}") as caught:
        load_result(tmp_path / "result")
    assert "\n" not in str(caught.value)


def test_result_without_its_arrays_is_refused(result: ProcessingResult, tmp_path: Path) -> None:
    (tmp_path / "result" / "arrays.zarr").rename(tmp_path / "moved")
    with pytest.raises(ResultError, match=r"Damaged result in .*arrays\.zarr is missing"):
        load_result(tmp_path / "result")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"activity": None}, "activity is missing"),
        ({"image_template": None}, "image_template is missing"),
        ({"accepted": np.ones(7, bool)}, r"accepted has the shape \(7,\), expected \(6,\)"),
        ({"fluorescence": np.ones((6, FRAMES + 1))}, rf"fluorescence has the shape \(6, {FRAMES + 1}\)"),
        ({"shifts_px": np.ones((FRAMES, 3))}, rf"expected \({FRAMES}, 2\)"),
        ({"image_average": np.ones((WIDTH, HEIGHT))}, rf"expected \({HEIGHT}, {WIDTH}\)"),
        ({"block_shifts_px": np.ones((4, FRAMES, 2))}, "belong together"),
        ({"dff": np.ones((5, FRAMES))}, "dff has the shape"),
    ],
)
def test_result_that_contradicts_itself_is_named(tmp_path: Path, changes: dict[str, Any], expected: str) -> None:
    arrays = {name: values for name, values in (stand_in_arrays() | changes).items() if values is not None}
    written = write_result(ResultWriter(tmp_path / "r"), boxes(), arrays)
    with pytest.raises(ResultError, match=expected) as caught:
        written.check("OUT")
    assert "OUT" in str(caught.value)


@pytest.mark.parametrize(
    ("part", "place", "value", "expected"),
    [
        ("indptr", -1, 3, "does not end at the last weight"),
        ("indptr", 0, 1, "does not rise from 0"),
        ("indptr", 2, 1, "does not rise from 0"),
        (
            "indices",
            5,
            HEIGHT * WIDTH,
            rf"footprints_indices has 0?\d+…{HEIGHT * WIDTH}, expected 0…{HEIGHT * WIDTH - 1}",
        ),
        ("indices", 5, -1, "footprints_indices has -1…"),
    ],
)
def test_footprints_that_are_no_sparse_matrix_of_the_image_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str, place: int, value: int, expected: str
) -> None:
    writer = ResultWriter(tmp_path / "r")
    write = writer.write

    def spoilt(name: str, values: Any) -> None:
        if name == f"footprints_{part}":
            values = np.array(values)
            values[place] = value
        write(name, values)

    monkeypatch.setattr(writer, "write", spoilt)
    with pytest.raises(ResultError, match=expected):
        write_result(writer, boxes(), stand_in_arrays()).check("OUT")


def test_footprints_of_another_image_are_named(tmp_path: Path) -> None:
    footprints = sp.csr_array((boxes().data, boxes().indices, boxes().indptr), shape=(6, HEIGHT * WIDTH + 1))
    with pytest.raises(ResultError, match="sparse shape"):
        write_result(ResultWriter(tmp_path / "r"), footprints, stand_in_arrays()).check("OUT")


# -- lost and changed files -----------------------------------------------------------------------------------------
def test_description_lists_every_other_file_with_its_size(result: ProcessingResult, tmp_path: Path) -> None:
    folder = tmp_path / "result"
    files = {p.relative_to(folder).as_posix(): p.stat().st_size for p in folder.rglob("*") if p.is_file()}
    del files[RESULT_FILE]
    assert result.info.files == files
    assert load_result(folder).info.files == files
    result.check("OUT")


def test_lost_file_is_named_and_not_read_as_zeros(result: ProcessingResult, tmp_path: Path) -> None:
    (chunk,) = (path for path in (tmp_path / "result/arrays.zarr/fluorescence/c").rglob("*") if path.is_file())
    chunk.unlink()
    with pytest.raises(ResultError, match=r"file arrays\.zarr/fluorescence/c/0/0 is missing"):
        result.check("OUT")
    with pytest.raises(ResultError, match=rf"Damaged result in {tmp_path}/result: file .* is missing"):
        load_result(tmp_path / "result")


def test_file_that_was_cut_short_is_named_with_both_sizes(result: ProcessingResult, tmp_path: Path) -> None:
    chunk = tmp_path / "result/arrays.zarr/footprints_indptr/c/0"
    whole = chunk.read_bytes()
    chunk.write_bytes(whole[:-1])
    with pytest.raises(ResultError, match=rf"c/0 has {len(whole) - 1} bytes, expected {len(whole)}"):
        load_result(tmp_path / "result").check("OUT")


def test_bytes_that_are_not_those_written_are_one_clear_line(result: ProcessingResult, tmp_path: Path) -> None:
    chunk = tmp_path / "result/arrays.zarr/footprints_indptr/c/0"
    chunk.write_bytes(bytes(len(chunk.read_bytes())))
    with pytest.raises(ResultError, match="footprints") as caught:
        load_result(tmp_path / "result").check("OUT")
    assert "\n" not in str(caught.value)


def test_foreign_file_among_the_arrays_is_named_and_one_beside_is_not(result: ProcessingResult, tmp_path: Path) -> None:
    folder = tmp_path / "result"
    (folder / "notes.txt").write_text("mine", encoding="utf-8")
    (folder / "arrays.zarr/traces/.DS_Store").write_bytes(b"")
    load_result(folder).check("OUT")
    (folder / "arrays.zarr/traces/c/0/1").write_bytes(b"x")
    with pytest.raises(ResultError, match="traces/c/0/1 is foreign"):
        load_result(folder).check("OUT")


def test_description_that_lists_no_files_is_refused(result: ProcessingResult, tmp_path: Path) -> None:
    rewrite(tmp_path / "result", files={})
    with pytest.raises(ResultError, match="does not list the files"):
        load_result(tmp_path / "result").check("OUT")


def test_notes_in_any_script_come_back_whatever_the_locale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the locale's encoding is not UTF-8, as on Windows."""
    write_text = Path.write_text

    def as_on_windows(path: Path, data: str, encoding: str | None = None, **options: Any) -> int:
        return write_text(path, data, encoding or "cp1252", **options)

    monkeypatch.setattr(Path, "write_text", as_on_windows)
    write_result(ResultWriter(tmp_path / "r"), boxes(), stand_in_arrays(), info={"notes": ("40×56 px, Δ", "ein µm")})
    assert load_result(tmp_path / "r").info.notes == ("40×56 px, Δ", "ein µm")

"""Every parser on damaged and hostile files: a recording, or one of our own errors in one line, and soon.

The examples are few, so that the suite stays quick; ``HYPOTHESIS_MAX_EXAMPLES`` asks for more.
"""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from miniscope_core.errors import MiniscopeError
from miniscope_core.io import open_recording
from miniscope_core.io.column_table import column_table, parse_iso
from miniscope_core.io.inscopix_exports import read_export_times
from miniscope_core.io.mio import read_buffers
from miniscope_core.io.options import ClockColumns
from tests.builders import make_movie, write_pyav_video, write_video
from tests.formats import (
    isxd_footer,
    write_bonsai,
    write_hdf5,
    write_inscopix_session,
    write_isxd,
    write_mio,
    write_nwb,
    write_tiff,
)

EXAMPLES = int(os.environ.get("HYPOTHESIS_MAX_EXAMPLES", "40"))
QUICK = settings(
    max_examples=EXAMPLES,
    derandomize="HYPOTHESIS_MAX_EXAMPLES" not in os.environ,  # the same every time, unless one goes looking
    deadline=10_000,  # nothing takes longer, whatever the file claims
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

Intact = tuple[Path, bytes, dict[str, Any]]
TEXT = "ImageJ=1\nimages=6\n"
FILES: dict[str, tuple[Callable[[Path], Path], dict[str, Any]]] = {
    "tif": (lambda root: write_tiff(root / "a.tif", make_movie(6, 8, 10), description=TEXT), {"fps": 9}),
    "big tif": (lambda root: write_tiff(root / "a.tif", make_movie(6, 8, 10), big=True, order=">"), {"fps": 9}),
    "h5": (lambda root: write_hdf5(root / "a.h5", make_movie(6, 8, 10), chunks=(2, 8, 10)), {"fps": 9}),
    "gzip h5": (lambda root: write_hdf5(root / "a.h5", make_movie(6, 8, 10), compression="gzip"), {"fps": 9}),
    "nwb": (lambda root: write_nwb(root / "a.nwb", make_movie(6, 8, 10)), {}),
    "isxd": (lambda root: write_isxd(root / "a.isxd", make_movie(6, 8, 10)), {}),
    "isxd with headers": (
        lambda root: write_isxd(root / "a.isxd", make_movie(3, 8, 10), stamps_us=[0, 50_000, 100_000]),
        {},
    ),
    "avi": (lambda root: write_video(root / "a.avi", make_movie(6, 8, 10)), {"fps": 9}),
    "raw avi": (lambda root: write_pyav_video(root / "a.avi", make_movie(6, 8, 10)), {"fps": 9}),
    "mp4": (lambda root: write_video(root / "a.mp4", make_movie(6, 32, 48), codec="mp4v", colour=True), {"fps": 9}),
}


def outcome(place: Path, **options: Any) -> None:
    """Open and read what can be read; anything but a recording or an error of ours fails."""
    told = refusal(lambda: _look(place, **options))
    assert len(told) < 3000


def _look(place: Path, **options: Any) -> None:
    recording = open_recording(place, clock="report", workers=1, **options)
    some = min(3, recording.frame_count)
    assert len(recording.frames(0, some)) == some
    assert len(recording.timestamps_s) == recording.frame_count


def refusal(work: Callable[[], Any]) -> str:
    """Return the one line with which some work was refused, or nothing."""
    try:
        work()
    except MiniscopeError as error:
        told = str(error)
    else:
        told = ""
    assert "\n" not in told
    return told


@pytest.fixture(scope="module", params=list(FILES))
def intact(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Intact:
    write, options = FILES[request.param]
    path = write(tmp_path_factory.mktemp("fuzz"))
    return path, path.read_bytes(), options


@QUICK
@given(data=st.data())
def test_a_damaged_file_is_a_recording_or_our_error(intact: Intact, data: st.DataObject) -> None:
    path, content, options = intact
    changed = bytearray(content)
    spot = st.integers(0, len(changed) - 1)
    # Structures lie at the beginning, at the end, and where they are found least expected.
    spots = (
        spot | st.integers(0, min(256, len(changed) - 1)) | st.integers(max(0, len(changed) - 600), len(changed) - 1)
    )
    for place, value in data.draw(
        st.lists(st.tuples(spots, st.binary(min_size=1, max_size=8)), min_size=1, max_size=6)
    ):
        changed[place : place + len(value)] = value
    if data.draw(st.booleans()):
        del changed[data.draw(spot) :]
    path.write_bytes(changed)
    outcome(path, **options)


@QUICK
@given(content=st.binary(max_size=400), ending=st.sampled_from(["tif", "h5", "nwb", "isxd", "avi", "mp4", "mkv"]))
def test_any_bytes_are_refused(content: bytes, ending: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"a.{ending}"
        path.write_bytes(content)
        outcome(path, fps=20)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@QUICK
@given(
    timing=st.dictionaries(st.sampled_from(["numTimes", "period", "start", "dropped", "cropped", "blank"]), JSON),
    top=st.dictionaries(
        st.sampled_from(["type", "dataType", "fileVersion", "hasFrameHeaderFooter", "spacingInfo", "extraProperties"]),
        JSON,
    ),
)
def test_any_description_of_an_isxd_is_used_or_refused(timing: dict[str, Any], top: dict[str, Any]) -> None:
    movie = make_movie(4, 8, 10)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.isxd"
        outcome(write_isxd(path, movie, isxd_footer(movie, **timing) | top))


CELLS = st.one_of(
    st.integers(-(10**6), 10**6).map(str), st.floats().map(str), st.text(max_size=6), st.just("2024-05-17T10:23:45.5")
)
ROWS = st.lists(st.lists(CELLS, max_size=5).map(",".join), max_size=6).map("\n".join)
TABLES = st.one_of(ROWS.map(lambda text: text.encode("utf-8", "replace")), st.binary(max_size=200))


@QUICK
@given(
    content=TABLES,
    header=st.sampled_from(
        [
            b"",
            b"Global Frame Number,Movie Number,Local Frame Number,Frame Timestamp (s)\n",
            b"Global Frame Number,Movie Number,Local Frame Number,Frame Timestamp (us)\n",
            b"reconstructed_frame_index,timestamp,frame_num,frame_buffer_count,black_padding_px\n",
        ]
    ),
    columns=st.sampled_from(["time=0,unit=s", "time=0,unit=iso", "time=0,unit=us,frame=1,trigger=2", "time=t,unit=ms"]),
)
def test_any_table_of_times_is_read_or_refused(content: bytes, header: bytes, columns: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.csv"
        path.write_bytes(header + content)
        parsers: list[Callable[[], Any]] = [
            lambda: column_table(path, ClockColumns.parse(columns)),
            lambda: read_export_times(path),
            lambda: read_buffers(path),
        ]
        for parse in parsers:
            refusal(parse)


@QUICK
@given(text=st.text(max_size=40))
def test_any_map_and_any_date_are_understood_or_refused(text: str) -> None:
    parse_iso(text)
    refusal(lambda: ClockColumns.parse(ClockColumns.parse(text).text))


@QUICK
@given(content=TABLES, which=st.sampled_from(["mio", "bonsai"]))
def test_any_table_beside_a_video_gives_a_recording_or_our_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, which: str
) -> None:
    folder = tmp_path_factory.mktemp("beside")
    write = write_mio if which == "mio" else write_bonsai
    path = write(folder / "a.avi", make_movie(4, 8, 10))
    table = path.with_suffix(".csv")
    first = table.read_bytes().splitlines(keepends=True)
    table.write_bytes(b"".join(first[:3]) + content)
    outcome(path, **({} if which == "mio" else {"columns": "time=0,unit=iso,frame=1"}))


@QUICK
@given(facts=st.dictionaries(st.sampled_from(["microscope", "manual"]), JSON))
def test_any_session_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, facts: dict[str, Any]) -> None:
    import json

    folder = write_inscopix_session(tmp_path_factory.mktemp("session"), make_movie(4, 8, 10))
    (folder / "session.json").write_text(json.dumps(facts))
    outcome(folder)

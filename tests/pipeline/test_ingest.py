"""Ingestion: what a folder becomes, once; what is there already is never overwritten."""

import csv
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from miniscope_core import models as m
from miniscope_core.demo import copy_demo
from miniscope_core.errors import ConflictError, MetadataError, ParameterError, RecordingError
from miniscope_core.pipeline.ingest import Prepared, ingest_recording, prepare_recording, record
from miniscope_core.pipeline.originals import open_ingested
from miniscope_core.pipeline.requests import IngestOptions, checked_options
from miniscope_core.progress import silent
from miniscope_core.storage.archive import Archive
from miniscope_core.workspace import Workspace
from tests.archives import FRAMES, HEIGHT, WIDTH, rows, settings_for, snapshot, write_session
from tests.builders import SCOPE, make_movie, write_v3_recording, write_v4_session, write_video

KEY = "subject1/2021-01-01T00:00:01/0"


def one(archive: Archive, entity: type[m.Entity], **equal: Any) -> dict[str, Any]:
    (row,) = rows(archive, entity, **equal)
    return row


# -- what a folder becomes ----------------------------------------------------------------------------------
def test_demo_folder_becomes_all_its_rows(archive: Archive, raw: Path) -> None:
    folder = copy_demo(raw)
    done = ingest_recording(archive, folder)
    assert done.changed
    assert str(done.key) == "demo_mouse/2024-05-17T10:23:45/0"
    where = "demo_mouse/2024_05_17/10_23_45"
    assert one(archive, m.Subject)["subject"] == "demo_mouse"
    assert one(archive, m.SessionDirectory)["session_dir"] == where
    recording = one(archive, m.Recording)
    assert recording["recording_directory"] == f"{where}/My_V4_Miniscope"
    assert (recording["device"], recording["acquisition_software"]) == ("My V4 Miniscope", "Miniscope-DAQ-V4")
    info = one(archive, m.RecordingInfo)
    assert (info["nframes"], info["px_height"], info["px_width"]) == (600, 104, 136)
    assert info["fps"] == pytest.approx(20)
    assert info["recording_duration"] == pytest.approx(30.1, abs=0.01)
    assert (info["gain"], info["led_power"], info["dropped_frames"]) == (1.0, 24.0, 2)
    assert info["recording_datetime"] == datetime(2024, 5, 17, 10, 23, 45, 312000)
    assert (info["nchannels"], info["ndepths"], info["spatial_downsample"]) == (1, 1, 1)
    assert info["um_height"] is None
    assert info["clock_report"]["rows"] == 600
    assert [note["text"] for note in rows(archive, m.Note)]
    assert {row["name"] for row in rows(archive, m.RecordingConfig)} == {"metaData.json", "../metaData.json"}


def test_files_stand_in_natural_order_with_role_frames_and_digest(lite: Archive, raw: Path) -> None:
    device = write_session(raw, frames_per_file=3)
    ingest_recording(lite, device)
    files = rows(lite, m.RecordingFile)
    assert [row["file_id"] for row in files] == list(range(len(files)))
    videos = [row for row in files if row["role"] == "video"]
    assert [Path(row["file_path"]).name for row in videos] == [f"{number}.avi" for number in range(10)]
    assert [row["nframes"] for row in videos] == [3] * 10
    others = {Path(row["file_path"]).name: (row["role"].value, row["nframes"]) for row in files[10:]}
    assert others == {
        "timeStamps.csv": ("clock", None),
        "metaData.json": ("metadata", None),
        "notes.csv": ("other", None),
    }
    for row in files:
        content = (raw / row["file_path"]).read_bytes()
        assert (row["sha256"], row["nbytes"]) == (hashlib.sha256(content).hexdigest(), len(content))


def test_clock_and_head_orientation_are_arrays_in_the_store(lite: Archive, raw: Path) -> None:
    folder = copy_demo(raw)
    key = ingest_recording(lite, folder).key
    with (folder / "My_V4_Miniscope" / "timeStamps.csv").open() as file:
        times_ms = [float(row["Time Stamp (ms)"]) for row in csv.DictReader(file)]
    with Workspace(lite.settings) as workspace:
        assert np.allclose(workspace.timestamps_s(key), np.array(times_ms) / 1000)
        assert workspace.head_orientation(key).shape == (597, 5)
    assert {row["name"] for row in rows(lite, m.StoredArray)} == {"timestamps_s", "head_orientation"}


def test_miniscope_daq_v3_folder_is_ingested_with_its_trailing_empty_video(lite: Archive, raw: Path) -> None:
    folder = write_v3_recording(raw, make_movie(20, HEIGHT, WIDTH), frames_per_file=10, trailing_empty=True)
    assert ingest_recording(lite, folder).key.session_datetime == datetime(2019, 5, 28, 15, 45, 12)
    assert [row["nframes"] for row in rows(lite, m.RecordingFile, role="video")] == [10, 10, 0]
    assert one(lite, m.RecordingInfo)["nframes"] == 20


def test_options_fill_what_the_folder_does_not_tell(archive: Archive, device: Path) -> None:
    options = IngestOptions(
        subject="m7",
        session_datetime=datetime(2022, 2, 2, 12, 0, 0, 500000),
        recording_id=3,
        project="memory",
        experimenter="Ada",
        session_note="calm",
        recording_notes="left hemisphere",
        location="CA1",
    )
    assert str(ingest_recording(archive, device, options).key) == "m7/2022-02-02T12:00:00/3"
    session = one(archive, m.Session)
    assert (session["project"], session["session_note"]) == ("memory", "calm")
    assert one(archive, m.SessionExperimenter)["user"] == "Ada"
    assert one(archive, m.Recording)["recording_notes"] == "left hemisphere"
    assert one(archive, m.AnatomicalLocation)["anatomical_description"] == "CA1"


def test_two_recordings_at_one_place_name_it_once(lite: Archive, raw: Path) -> None:
    for number, subject in enumerate(("a", "b")):
        ingest_recording(lite, write_session(raw, subject, seed=number), IngestOptions(subject=subject, location="CA1"))
    assert len(rows(lite, m.AnatomicalLocation)) == 1
    assert len(rows(lite, m.RecordingLocation)) == 2


@pytest.mark.parametrize("metadata", [{"ROI": None}, {"frameRate": 20}, {"frameRate": "fast"}, {"gain": 3.5}])
def test_metadata_of_every_kind_do_not_stop_ingestion(lite: Archive, raw: Path, metadata: dict[str, Any]) -> None:
    ingest_recording(lite, write_session(raw, metadata=metadata))
    info = one(lite, m.RecordingInfo)
    assert (info["px_height"], info["px_width"], info["fps"]) == (HEIGHT, WIDTH, pytest.approx(20))


def test_behaviour_cameras_of_the_session_are_left_alone(lite: Archive, raw: Path) -> None:
    session = write_v4_session(
        raw / "subject1", {SCOPE: make_movie(20, HEIGHT, WIDTH)}, {"BehavCam": make_movie(20, 48, 64, seed=1)}
    )
    ingest_recording(lite, session)
    assert not any("BehavCam" in row["file_path"] for row in rows(lite, m.RecordingFile))
    assert len(rows(lite, m.Recording)) == 1


def test_two_devices_are_two_recordings_of_one_session(archive: Archive, raw: Path) -> None:
    movies = {"scope A": make_movie(20, HEIGHT, WIDTH), "scope B": make_movie(24, WIDTH, HEIGHT, seed=1)}
    session = write_v4_session(raw / "subject1", movies)
    keys = [str(ingest_recording(archive, session / name).key) for name in ("scope_A", "scope_B")]
    assert keys == [KEY, "subject1/2021-01-01T00:00:01/1"]
    assert len(rows(archive, m.Session)) == 1
    assert [row["device"] for row in rows(archive, m.Recording)] == ["scope A", "scope B"]


def test_progress_ends_with_every_stage_done(lite: Archive, device: Path) -> None:
    last: dict[str, tuple[int, int]] = {}
    ingest_recording(lite, device, progress=lambda stage, done, total: last.update({stage: (done, total)}))
    assert last.keys() == {"decoding", "checksums", "publishing"}
    assert all(done == total for done, total in last.values())


# -- again ------------------------------------------------------------------------------------------------------
def test_the_same_folder_again_changes_nothing_and_says_so(archive: Archive, device: Path) -> None:
    first = ingest_recording(archive, device)
    before = snapshot(archive)
    again = ingest_recording(archive, device.parent)
    assert (again.key, again.changed) == (first.key, False)
    assert again.message.startswith("Unchanged")
    assert snapshot(archive) == before


def test_a_known_folder_is_not_decoded_again(lite: Archive, device: Path) -> None:
    ingest_recording(lite, device)
    stages: list[str] = []
    ingest_recording(lite, device, progress=lambda stage, done, total: stages.append(stage))
    assert "decoding" not in stages


def _edit(name: str) -> Callable[[Path], None]:
    def change(device: Path) -> None:
        path = device / name
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n", 1))

    return change


def _cut_clock(device: Path) -> None:
    path = device / "timeStamps.csv"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-5]))


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "other video": (
        lambda device: write_video(device / "0.avi", make_movie(FRAMES, HEIGHT, WIDTH, 9)),
        "0.avi has other",
    ),
    "shorter video": (lambda device: write_video(device / "0.avi", make_movie(9, HEIGHT, WIDTH)), "0.avi has other"),
    "shorter clock": (_cut_clock, r"timeStamps.csv has other"),
    "device metadata": (_edit("metaData.json"), r"metaData.json has other"),
    "session metadata": (_edit("../metaData.json"), r"\.\./metaData.json has other"),
    "new video": (lambda device: write_video(device / "1.avi", make_movie(5, HEIGHT, WIDTH)), "1.avi is new"),
    "new head orientation": (
        lambda device: (device / "headOrientation.csv").write_text("Time Stamp (ms),qw,qx,qy,qz\n1,1,0,0,0\n"),
        "headOrientation.csv is new",
    ),
    "removed video": (lambda device: (device / "0.avi").unlink(), "0.avi is missing"),
    "removed metadata": (lambda device: (device / "metaData.json").unlink(), "metaData.json is missing"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_changed_files_are_named_and_nothing_is_overwritten(lite: Archive, device: Path, name: str) -> None:
    change, expected = CHANGES[name]
    ingest_recording(lite, device)
    before = snapshot(lite)
    change(device)
    with pytest.raises(ConflictError, match=expected) as caught:
        ingest_recording(lite, device)
    assert KEY in str(caught.value)
    assert snapshot(lite) == before


@pytest.mark.parametrize(
    "asked",
    [
        {"subject": "subject2"},
        {"session_datetime": datetime(2021, 1, 1, 0, 0, 2)},
        {"recording_id": 1},
        {"recording_notes": "right"},
        {"session_note": "restless"},
        {"project": "other"},
        {"experimenter": "Nobody"},
        {"location": "CA3"},
        {"fps": 30.0},
    ],
    ids=lambda asked: next(iter(asked)),
)
def test_other_facts_for_a_known_folder_are_refused(lite: Archive, device: Path, asked: dict[str, Any]) -> None:
    ingest_recording(lite, device)
    before = snapshot(lite)
    with pytest.raises(ConflictError, match=rf"ingested already as {KEY}: got {next(iter(asked))}"):
        ingest_recording(lite, device, IngestOptions(**asked))
    assert snapshot(lite) == before


def test_the_facts_it_has_are_not_refused(lite: Archive, device: Path) -> None:
    options = IngestOptions(
        subject="subject1", recording_id=0, location="CA1", experimenter="somebody", fps=25, project="p"
    )
    ingest_recording(lite, device, options)
    assert not ingest_recording(lite, device, options).changed
    assert not ingest_recording(lite, device).changed


def test_a_copy_elsewhere_is_refused_and_the_first_named(archive: Archive, raw: Path, device: Path) -> None:
    ingest_recording(archive, device)
    copy = raw / "copy"
    shutil.copytree(device.parent, copy)
    before = snapshot(archive)
    with pytest.raises(ConflictError, match=rf"already as {KEY} from subject1/2021_01_01/00_00_01/{SCOPE}"):
        ingest_recording(archive, copy)
    assert snapshot(archive) == before


def test_a_recording_id_that_is_taken_is_refused(archive: Archive, raw: Path, device: Path) -> None:
    ingest_recording(archive, device)
    other = write_session(raw, "elsewhere", seed=1)
    before = snapshot(archive)
    with pytest.raises(ConflictError, match=f"Recording {KEY} is ingested already from another folder"):
        ingest_recording(archive, other, IngestOptions(recording_id=0))
    assert snapshot(archive) == before


def test_a_second_recording_completes_the_session_and_does_not_change_it(archive: Archive, raw: Path) -> None:
    first, second, third = (write_session(raw, f"rig{number}", seed=number) for number in range(3))
    ingest_recording(archive, first)
    ingest_recording(archive, second, IngestOptions(project="memory", session_note="calm"))
    assert (one(archive, m.Session)["project"], one(archive, m.Session)["session_note"]) == ("memory", "calm")
    before = snapshot(archive)
    with pytest.raises(ConflictError, match="got project 'sleep', expected 'memory'"):
        ingest_recording(archive, third, IngestOptions(project="sleep"))
    assert snapshot(archive) == before


# -- subject and time ------------------------------------------------------------------------------------------
def _session_facts(device: Path, **changes: Any) -> None:
    path = device.parent / "metaData.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_recording_without_animal_asks_for_the_subject(lite: Archive, device: Path) -> None:
    _session_facts(device, animalName="")
    with pytest.raises(MetadataError, match=r"Subject unknown at .*--subject"):
        ingest_recording(lite, device)
    assert ingest_recording(lite, device, IngestOptions(subject="m1")).key.subject == "m1"


def test_an_animal_whose_name_cannot_be_part_of_a_key_asks_for_another(lite: Archive, device: Path) -> None:
    _session_facts(device, animalName="line/7")
    before = snapshot(lite)
    with pytest.raises(MetadataError, match=r"Subject 'line/7' at .*--subject"):
        ingest_recording(lite, device)
    assert snapshot(lite) == before


def test_a_recording_without_start_time_asks_for_it(lite: Archive, device: Path, raw: Path) -> None:
    _session_facts(device, recordingStartTime=None)
    plain = raw / "plain"
    shutil.move(device.parent, plain)
    with pytest.raises(MetadataError, match=r"Session time unknown at .*--session-datetime"):
        ingest_recording(lite, plain)


@pytest.mark.parametrize(
    "asked",
    [{"subject": "a/b"}, {"recording_id": -1}, {"fps": 0}, {"session_datetime": "2021-01-01T00:00:00Z"}, {"x": 1}],
)
def test_options_that_make_no_sense_are_one_clear_line(asked: dict[str, Any]) -> None:
    with pytest.raises(ParameterError, match=next(iter(asked))) as caught:
        checked_options(**asked)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "written", "kept"),
    [
        ("deviceName", "Scope\u00a01", "Scope 1"),
        ("deviceName", "x" * 300, "x" * 255),
        ("researcherName", "Ada\tL.\u200b", "Ada L."),
        ("animalName", "m\u00a01\x07", "m 1"),
    ],
)
def test_texts_that_no_name_may_be_are_cleaned_and_told(
    lite: Archive, device: Path, name: str, written: str, kept: str
) -> None:
    path = device / "metaData.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {name: written}))
    if not name.startswith("device"):
        _session_facts(device, **{name: written})
    ingest_recording(lite, device)
    entity, column = {
        "deviceName": (m.Recording, "device"),
        "researcherName": (m.SessionExperimenter, "user"),
        "animalName": (m.Recording, "subject"),
    }[name]
    assert one(lite, entity)[column] == kept
    warnings = one(lite, m.RecordingInfo)["clock_report"]["metadata_warnings"]
    assert any(f"{name} in metaData.json" in warning and "cleaned" in warning for warning in warnings)


def test_remark_that_a_crash_filled_with_nul_shows_them(lite: Archive, device: Path) -> None:
    notes = device / "notes.csv"
    notes = notes if notes.exists() else device.parent / "notes.csv"
    notes.write_bytes(b"Time Stamp (ms),Note\n5000,half a no\0\0te\n")
    ingest_recording(lite, device)
    assert one(lite, m.Note)["text"] == "half a no\ufffd\ufffdte"


def test_folder_whose_name_is_no_utf8_is_one_clear_line(lite: Archive, raw: Path, device: Path) -> None:
    odd = Path(os.fsdecode(os.fsencode(raw) + b"/mouse \xe9"))
    shutil.move(raw / "subject1", odd)
    before = snapshot(lite)
    for folder in (raw, odd):
        with pytest.raises(RecordingError, match=r"mouse .*xe9.* is not UTF-8.*Rename it") as caught:
            ingest_recording(lite, folder)
        assert str(caught.value).isprintable()
    assert snapshot(lite) == before


# -- raw roots -----------------------------------------------------------------------------------------------
def _reopened(archive: Archive, **changes: Any) -> Archive:
    values = {name: getattr(archive.settings, name) for name in ("database_url", "store_url", "raw_roots")} | changes
    return Archive.open(settings_for(archive.settings.home, **values))


def test_moved_data_are_known_below_their_new_root(lite: Archive, raw: Path, device: Path, tmp_path: Path) -> None:
    ingest_recording(lite, device)
    shutil.move(raw, tmp_path / "elsewhere")
    with _reopened(lite, raw_roots=[tmp_path / "elsewhere"]) as moved:
        before = snapshot(moved)
        assert not ingest_recording(moved, tmp_path / "elsewhere" / device.relative_to(raw)).changed
        assert snapshot(moved) == before


def test_a_root_that_is_named_later_makes_no_second_recording(lite: Archive, raw: Path, device: Path) -> None:
    with _reopened(lite, raw_roots=[]) as rootless:
        ingest_recording(rootless, device)
    assert one(lite, m.Recording)["recording_directory"] == device.as_posix()
    assert not ingest_recording(lite, device).changed


def test_folders_of_the_same_name_below_two_roots_are_two_recordings(lite: Archive, raw: Path, tmp_path: Path) -> None:
    first = write_session(raw)
    second = write_session(tmp_path / "other", seed=1)
    with _reopened(lite, raw_roots=[raw, tmp_path / "other"]) as both:
        assert ingest_recording(both, first).key.recording_id == 0
        assert ingest_recording(both, second).key.recording_id == 1
        assert [ingest_recording(both, device).changed for device in (first, second)] == [False, False]


@pytest.mark.parametrize("depth", [0, 1])
def test_a_root_at_or_within_the_session_folder_finds_its_files_again(lite: Archive, device: Path, depth: int) -> None:
    with _reopened(lite, raw_roots=[(device, device.parent)[depth]]) as archive:
        ingest_recording(archive, device)
        assert not ingest_recording(archive, device).changed


def test_a_folder_reached_by_a_link_is_the_recording_it_links_to(lite: Archive, device: Path, tmp_path: Path) -> None:
    ingest_recording(lite, device)
    (tmp_path / "link").symlink_to(device.parent.parent.parent.parent, target_is_directory=True)
    with _reopened(lite, raw_roots=[tmp_path / "link"]) as linked:
        again = ingest_recording(linked, tmp_path / "link" / device.relative_to(tmp_path / "raw"))
    assert not again.changed


@pytest.mark.parametrize("depth", range(4))
def test_moved_data_that_had_no_root_are_found_by_the_end_of_their_path(
    lite: Archive, raw: Path, device: Path, tmp_path: Path, depth: int
) -> None:
    with _reopened(lite, raw_roots=[]) as rootless:
        key = ingest_recording(rootless, device).key
    shutil.move(raw, tmp_path / "moved")
    place = tmp_path / "moved" / device.relative_to(raw)
    with _reopened(lite, raw_roots=[tmp_path / "nothing", place.parents[depth]]) as archive:
        assert open_ingested(archive, key, silent).directory == place
        assert not ingest_recording(archive, place).changed


def test_data_that_moved_get_their_new_paths(archive: Archive, raw: Path, device: Path, tmp_path: Path) -> None:
    with _reopened(archive, raw_roots=[]) as rootless:
        first = ingest_recording(rootless, device)
        shutil.move(raw, tmp_path / "moved")
        place = tmp_path / "moved" / device.relative_to(raw)
        before = snapshot(rootless)
        with pytest.raises(ConflictError, match="got project"):
            ingest_recording(rootless, place, IngestOptions(project="other"))
        assert snapshot(rootless) == before
        moved = ingest_recording(rootless, place)
        assert (moved.key, moved.changed) == (first.key, True)
        assert moved.message.startswith(f"Moved: {KEY} lies in {place} now")
        assert one(rootless, m.Recording)["recording_directory"] == place.as_posix()
        assert one(rootless, m.SessionDirectory)["session_dir"] == place.parent.as_posix()
        assert all(Path(row["file_path"]).is_file() for row in rows(rootless, m.RecordingFile))
        assert open_ingested(rootless, first.key, silent).directory == place
        assert not ingest_recording(rootless, place).changed


def test_data_that_moved_within_their_root_keep_a_relative_path(lite: Archive, raw: Path, device: Path) -> None:
    ingest_recording(lite, device)
    shutil.move(raw / "subject1", raw / "old mice")
    assert ingest_recording(lite, raw / "old mice").changed
    assert one(lite, m.SessionDirectory)["session_dir"] == "old mice/2021_01_01/00_00_01"
    assert not ingest_recording(lite, raw / "old mice").changed


def test_a_relative_path_is_not_replaced_because_its_root_is_missing_here(lite: Archive, device: Path) -> None:
    ingest_recording(lite, device)
    with _reopened(lite, raw_roots=[]) as rootless:
        before = snapshot(rootless)
        with pytest.raises(ConflictError, match="MINISCOPE_RAW_ROOTS"):
            ingest_recording(rootless, device)
        assert snapshot(rootless) == before


def test_a_device_folder_reached_by_a_link_is_no_second_recording(lite: Archive, device: Path, tmp_path: Path) -> None:
    ingest_recording(lite, device)
    link = tmp_path / "links" / "of mine" / "scope"
    link.parent.mkdir(parents=True)
    link.symlink_to(device, target_is_directory=True)
    before = snapshot(lite)
    again = ingest_recording(lite, link)
    assert (str(again.key), again.changed) == (KEY, False)
    assert snapshot(lite) == before


# -- several at once -------------------------------------------------------------------------------------------
def test_the_same_folder_by_two_runs_is_recorded_once(archive: Archive, device: Path) -> None:
    first, second = (prepare_recording(archive, device, IngestOptions(), silent) for _ in range(2))
    assert isinstance(first, Prepared)
    assert isinstance(second, Prepared)
    record(archive, first)
    before = snapshot(archive)
    again = record(archive, second)
    assert (str(again.key), again.changed) == (KEY, False)
    assert snapshot(archive) == before


def test_the_same_folder_that_another_run_records_while_this_one_uploads_is_recorded_once(
    lite: Archive, device: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (prepare_recording(lite, device, IngestOptions(), silent) for _ in range(2))
    assert isinstance(first, Prepared)
    assert isinstance(second, Prepared)
    upload = lite.store.upload

    def overtaken(*arguments: Any, **options: Any) -> Any:
        monkeypatch.setattr(lite.store, "upload", upload)
        record(lite, first)
        return upload(*arguments, **options)

    monkeypatch.setattr(lite.store, "upload", overtaken)
    assert not record(lite, second).changed
    assert len(rows(lite, m.Recording)) == len(rows(lite, m.Publication)) == 1
    assert len(lite.store.prefixes()) == 1


def test_recordings_of_a_new_subject_by_several_runs_at_once_all_succeed(archive: Archive, raw: Path) -> None:
    devices = [write_session(raw, f"rig{number}", seed=number) for number in range(4)]
    options = IngestOptions(project="memory", location="CA1")
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda device: ingest_recording(archive, device, options), devices))
    assert sorted(one.key.recording_id for one in done) == [0, 1, 2, 3]
    for entity in (m.Subject, m.Session, m.Project, m.AnatomicalLocation, m.Device, m.SessionExperimenter):
        assert len(rows(archive, entity)) == 1, entity


def test_birth_date_of_a_recorded_subject_survives_ingestion(lite: Archive, device: Path) -> None:
    with lite.database.session() as session:
        session.add(m.make(m.Subject, subject="subject1", subject_birth_date=date(2020, 5, 5), sex="F"))
    ingest_recording(lite, device)
    subject = one(lite, m.Subject)
    assert (subject["subject_birth_date"], subject["sex"].value) == (date(2020, 5, 5), "F")

"""Small recording folders as the acquisition programs write them, for the tests of every layer.

Each builder takes a movie and writes the folder around it; what a test wants broken it breaks afterwards. The DIB video
of Miniscope-DAQ V3 is written by PyAV, because OpenCV cannot.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import av
import cv2
import numpy as np
from av.video.stream import VideoStream
from numpy.typing import NDArray

Movie = NDArray[np.uint8]

V4_HEADER = "Frame Number,Time Stamp (ms),Buffer Index"
SESSION_FOLDER = "2021_01_01/00_00_01"
SCOPE = "My_V4_Miniscope"
V3_FOLDER = "5_28_2019/H15_M45_S12"


def make_movie(frames: int = 20, height: int = 24, width: int = 32, seed: int = 0) -> Movie:
    """Make a movie (frame, height, width) in which no two frames are alike."""
    rng = np.random.default_rng(seed)
    movie = rng.integers(0, 256, (frames, height, width), dtype=np.uint8)
    movie[:, 0, 0] = np.arange(frames) % 256
    return movie


def regular_times_ms(frames: int, fps: float = 20.0) -> list[int]:
    """Make whole milliseconds of a regular clock; the first is negative, as it often is."""
    return [round(index * 1000 / fps) - 3 for index in range(frames)]


# -- video ----------------------------------------------------------------------------------------------
def write_video(path: Path, frames: Movie, codec: str = "FFV1", colour: bool = False) -> Path:
    """Write an AVI by OpenCV, as Miniscope-DAQ-QT does: FFV1 and GREY are exact, MJPG and XVID are not.

    Parameters
    ----------
    path
        Its folder is made.
    frames
        (frame, height, width); may be empty along the first axis.
    codec
        FOURCC.
    colour
        Write three equal channels.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = frames.shape[1:]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), 60, (width, height), isColor=colour)
    if not writer.isOpened():
        raise RuntimeError(f"OpenCV cannot write {codec}")
    for frame in frames:
        writer.write(cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR) if colour else frame)
    writer.release()
    return path


def write_pyav_video(path: Path, frames: NDArray[Any], codec: str = "rawvideo", pixel_format: str = "bgr24") -> Path:
    """Write an AVI by PyAV; the defaults give the uncompressed BGR of Miniscope-DAQ V3 (DIB).

    Parameters
    ----------
    path
        Its folder is made.
    frames
        (frame, height, width) gray, of 8 bit or (for ``gray16le``) 16, or (frame, height, width, 3) BGR.
    codec, pixel_format
        FFmpeg's names.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format="avi") as container:
        stream = cast("VideoStream", container.add_stream(codec, rate=20))
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pixel_format
        for frame in frames:
            if pixel_format == "bgr24" and frame.ndim == 2:
                frame = np.repeat(frame[..., None], 3, axis=-1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format=pixel_format)))
        container.mux(stream.encode(None))
        if not len(frames):
            container.start_encoding()
    return path


def cut_file(path: Path, keep: float) -> Path:
    """Cut a file short, as a copy that was interrupted: keep this fraction of its bytes."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    return path


# -- Miniscope-DAQ-QT -----------------------------------------------------------------------------------
def device_metadata(shape: tuple[int, int], frames_per_file: int = 1000, **changes: Any) -> dict[str, Any]:
    """Make a device's ``metaData.json``; a change to None leaves the key out."""
    height, width = shape
    facts: dict[str, Any] = {
        "ROI": {"height": height, "leftEdge": 0, "topEdge": 0, "width": width},
        "compression": "FFV1",
        "deviceDirectory": "",
        "deviceID": 1,
        "deviceName": SCOPE,
        "deviceType": "Miniscope_V4_BNO",
        "ewl": 0,
        "frameRate": "20FPS",
        "framesPerFile": frames_per_file,
        "gain": "Medium",
        "led0": 17,
    } | changes
    return {name: value for name, value in facts.items() if value is not None}


def session_metadata(miniscopes: Sequence[str] = (SCOPE,), cameras: Sequence[str] = (), nested: bool = True) -> Any:
    """Make a session's ``metaData.json``; before v1.10 the start time was not nested."""
    start = {
        "year": 2021,
        "month": 1,
        "day": 1,
        "hour": 0,
        "minute": 0,
        "second": 1,
        "msec": 250,
        "msecSinceEpoch": 1609459201250,
    }
    return {
        "animalName": "subject1",
        "baseDirectory": "C:/data/subject1",
        "cameras": list(cameras),
        "experimentName": "linear track",
        "miniscopes": list(miniscopes),
        "researcherName": "somebody",
        **({"recordingStartTime": start} if nested else start),
    }


def write_v4_clock(
    folder: Path,
    times_ms: Iterable[float],
    buffer: Sequence[int] | None = None,
    hardware: Sequence[int] | None = None,
) -> Path:
    """Write ``timeStamps.csv``; with hardware frame numbers as version 2 does."""
    rows = [V4_HEADER + (",DAQ Frame Number" if hardware is not None else "")]
    for index, time in enumerate(times_ms):
        cells = [index, time, buffer[index] if buffer is not None else 0]
        rows.append(",".join(map(str, cells if hardware is None else [*cells, hardware[index]])))
    path = folder / "timeStamps.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


def write_v4_device(
    folder: Path,
    movie: Movie,
    *,
    frames_per_file: int = 1000,
    fps: float = 20.0,
    times_ms: Sequence[float] | None = None,
    hardware: Sequence[int] | None = None,
    buffer: Sequence[int] | None = None,
    codec: str = "FFV1",
    colour: bool = False,
    metadata: Mapping[str, Any] | None = None,
) -> Path:
    """Write the folder of one device of Miniscope-DAQ-QT: also the plain layout, with everything in one folder.

    Parameters
    ----------
    folder
        Made with its parents.
    movie
        (frame, height, width).
    frames_per_file
        Frames after which a new AVI begins.
    fps, times_ms
        A regular clock of this rate, or these times; they need not be as many as the frames.
    hardware, buffer
        Columns of the clock.
    codec, colour
        As for :func:`write_video`.
    metadata
        Changes to :func:`device_metadata`; None as a value leaves a key out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for number, start in enumerate(range(0, len(movie), frames_per_file)):
        write_video(folder / f"{number}.avi", movie[start : start + frames_per_file], codec, colour)
    times = regular_times_ms(len(movie), fps) if times_ms is None else times_ms
    write_v4_clock(folder, times, buffer, hardware)
    facts = device_metadata(movie.shape[1:], frames_per_file, **dict(metadata or {}))
    (folder / "metaData.json").write_text(json.dumps(facts, indent=4))
    return folder


def write_v4_session(
    root: Path,
    movies: Mapping[str, Movie],
    cameras: Mapping[str, Movie] | None = None,
    *,
    nested: bool = True,
    **device: Any,
) -> Path:
    """Write a session of Miniscope-DAQ-QT below ``root`` and return its folder.

    Parameters
    ----------
    root
        Folder that holds ``yyyy_MM_dd/HH_mm_ss``.
    movies, cameras
        Movie of each miniscope and of each behaviour camera, by device name (blanks become ``_`` in folder names).
    nested
        Whether the start time is nested (since v1.10).
    **device
        Passed to :func:`write_v4_device` for the miniscopes.
    """
    session = root / SESSION_FOLDER
    (session / "experiment").mkdir(parents=True)
    cameras = cameras or {}
    facts = session_metadata(list(movies), list(cameras), nested)
    (session / "metaData.json").write_text(json.dumps(facts, indent=4))
    (session / "notes.csv").write_text(f"Time Stamp (ms), Note\n1500,rearing, then still\n2000,{SCOPE},led0,20\n")
    changes = dict(device.pop("metadata", {}))
    for name, movie in movies.items():
        write_v4_device(session / name.replace(" ", "_"), movie, metadata={"deviceName": name} | changes, **device)
    for name, movie in cameras.items():
        facts = {"deviceName": name, "deviceType": "WebCam", "ROI": None, "gain": None, "led0": None, "ewl": None}
        write_v4_device(session / name.replace(" ", "_"), movie, codec="MJPG", colour=True, metadata=facts)
    return session


# -- Miniscope-DAQ V3 -----------------------------------------------------------------------------------
def write_v3_recording(
    root: Path,
    movie: Movie,
    *,
    behaviour: Movie | None = None,
    frames_per_file: int = 1000,
    fps: float = 20.0,
    times_ms: Sequence[int] | None = None,
    scope_number: int = 1,
    behaviour_number: int = 0,
    trailing_empty: bool = False,
) -> Path:
    """Write a folder of Miniscope-DAQ V3 below ``root`` and return it.

    Parameters
    ----------
    root
        Folder that holds ``M_D_YYYY/H15_M45_S12``.
    movie
        (frame, height, width) of the scope.
    behaviour
        (frame, height, width) of the behaviour camera, or None for no camera.
    frames_per_file
        Frames after which a new AVI begins.
    fps, times_ms
        A regular clock of this rate, or these times of the scope; the first may be anything.
    scope_number, behaviour_number
        The operating system's camera numbers.
    trailing_empty
        Write the 0-frame AVI that the program leaves when the count is a multiple of ``frames_per_file``.
    """
    folder = root / V3_FOLDER
    folder.mkdir(parents=True)
    starts = list(range(0, len(movie), frames_per_file)) + ([len(movie)] if trailing_empty else [])
    for number, start in enumerate(starts, start=1):
        write_pyav_video(folder / f"msCam{number}.avi", movie[start : start + frames_per_file])
    times = list(times_ms) if times_ms is not None else [time + 3 for time in regular_times_ms(len(movie), fps)]
    rows = [(time, scope_number, frame) for frame, time in enumerate(times, start=1)]
    if behaviour is not None:
        write_pyav_video(folder / "behavCam1.avi", behaviour)
        rows += [(33 * frame, behaviour_number, frame) for frame in range(1, len(behaviour) + 1)]
    # The program writes a row when its frame comes; a first time that is nonsense does not move it.
    order = sorted(range(len(rows)), key=lambda row: (rows[row][2], rows[row][1]))
    lines = ["camNum\tframeNum\tsysClock\tbuffer"]
    lines += [f"{rows[row][1]}\t{rows[row][2]}\t{rows[row][0]}\t1" for row in order]
    (folder / "timestamp.dat").write_text("\n".join(lines) + "\n")
    settings = [
        "animal\texcitation\tmsCamExposure\trecordLength",
        "subject1\t12\t255\t600",
        "",
        "elapsedTime\tNote",
        "3\tLED excitation intensity set to 14",
    ]
    (folder / "settings_and_notes.dat").write_text("\n".join(settings) + "\n")
    return folder

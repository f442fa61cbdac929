"""Small recordings in the formats besides Miniscope-DAQ, made from the facts of each format, for the readers' tests.

Each builder takes a movie and writes the files around it; what a test wants broken it breaks afterwards.
"""

import csv
import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from tests.builders import write_pyav_video, write_video

Movie = NDArray[Any]

ISXD_HEADER_WORDS = 2560


# -- TIFF -------------------------------------------------------------------------------------------------
def write_tiff(
    path: Path,
    movie: Movie,
    *,
    order: str = "<",
    big: bool = False,
    rows_per_strip: int | None = None,
    description: str = "",
    resolution: tuple[int, int] | None = None,
) -> Path:
    """Write an uncompressed multi-page TIFF, byte by byte as the specification has it.

    Parameters
    ----------
    path
        Its folder is made.
    movie
        (frame, height, width) of 8 or 16 bit.
    order
        ``"<"`` or ``">"``: the file's byte order.
    big
        Write BigTIFF.
    rows_per_strip
        Rows of a strip; default all.
    description
        Of the first page.
    resolution
        Pixels per unit across and down, as whole numbers.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = movie.shape[1:]
    rows = rows_per_strip or height
    data = movie.astype(movie.dtype.newbyteorder(order))
    word, word_type, head = ("Q", 16, 16) if big else ("I", 4, 8)
    out = bytearray(head)
    out[:4] = (b"II" if order == "<" else b"MM") + struct.pack(order + "H", 43 if big else 42)
    if big:
        out[4:8] = struct.pack(order + "HH", 8, 0)
    link = head - struct.calcsize(word)

    def put(values: bytes) -> int:
        out.extend(b"\0" * (len(out) % 2))
        place = len(out)
        out.extend(values)
        return place

    for page in data:
        starts = [put(page[first : first + rows].tobytes()) for first in range(0, height, rows)]
        sizes = [page[first : first + rows].nbytes for first in range(0, height, rows)]
        tags: list[tuple[int, int, int, bytes]] = [
            (256, 4, 1, struct.pack(order + "I", width)),
            (257, 4, 1, struct.pack(order + "I", height)),
            (258, 3, 1, struct.pack(order + "H", 8 * page.itemsize)),
            (259, 3, 1, struct.pack(order + "H", 1)),
            (262, 3, 1, struct.pack(order + "H", 1)),
            (273, word_type, len(starts), struct.pack(f"{order}{len(starts)}{word}", *starts)),
            (277, 3, 1, struct.pack(order + "H", 1)),
            (278, 4, 1, struct.pack(order + "I", rows)),
            (279, word_type, len(sizes), struct.pack(f"{order}{len(sizes)}{word}", *sizes)),
        ]
        if description:
            tags.append((270, 2, len(description) + 1, description.encode() + b"\0"))
        if resolution:
            tags += [(282 + i, 5, 1, struct.pack(order + "II", value, 1)) for i, value in enumerate(resolution)]
        space = struct.calcsize(word)
        packed = b""
        for tag, kind, count, value in sorted(tags):
            inline = value.ljust(space, b"\0") if len(value) <= space else struct.pack(order + word, put(value))
            packed += struct.pack(order + ("HHQ" if big else "HHI"), tag, kind, count) + inline
        place = put(struct.pack(order + ("Q" if big else "H"), len(tags)) + packed + b"\0" * space)
        out[link : link + space] = struct.pack(order + word, place)
        link = len(out) - space
        description = ""
    path.write_bytes(out)
    return path


# -- HDF5 and NWB -----------------------------------------------------------------------------------------
def write_hdf5(path: Path, movie: Movie, name: str = "mov", **options: Any) -> Path:
    """Write a dataset (frame, height, width); options are h5py's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "a") as file:
        file.create_dataset(name, data=movie, **options)
    return path


def write_nwb(
    path: Path,
    movie: Movie | None,
    *,
    kind: str = "OnePhotonSeries",
    name: str | None = None,
    rate: float | None = 20.0,
    start_s: float = 0.0,
    times_s: Sequence[float] | None = None,
    external: Sequence[str] = (),
    grid_um: tuple[float, float] | None = (2.0, 1.5),
) -> Path:
    """Write an imaging series as the NWB schema has it: (frame, x, y), in a file of its own or added to one.

    Parameters
    ----------
    path
        Its folder is made.
    movie
        (frame, height, width); None where ``external`` names the videos.
    kind, name
        Type of the series, and its name (default: the type).
    rate, start_s
        Frames per second from ``start_s``, unless ``times_s`` are given.
    times_s
        Times of the frames.
    external
        ``external_file``.
    grid_um
        Size of a pixel along x and y.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "a") as file:
        if "identifier" not in file:
            file.attrs["nwb_version"] = "2.7.0"
            file["identifier"] = "a recording"
            file["session_description"] = "linear track"
            file["session_start_time"] = "2024-05-17T10:23:45.500000+02:00"
            file["timestamps_reference_time"] = "2024-05-17T10:23:45.500000+02:00"
            file["general/experimenter"] = ["Somebody, Some"]
            file["general/subject/subject_id"] = "subject1"
            file.create_group("general/devices/Miniscope")
            plane = file.create_group("general/optophysiology/ImagingPlane")
            plane["imaging_rate"] = 20.0
            plane["device"] = h5py.SoftLink("/general/devices/Miniscope")
            if grid_um:
                plane["grid_spacing"] = np.array(grid_um) * 1e-6
                plane["grid_spacing"].attrs["unit"] = "meters"
        series = file.create_group(f"acquisition/{name or kind}")
        series.attrs["neurodata_type"] = kind
        series.attrs["namespace"] = "core"
        if movie is not None:
            series.create_dataset(
                "data", data=np.swapaxes(movie, 1, 2), chunks=(min(4, len(movie)), *movie.shape[:0:-1])
            )
        if external:
            series["external_file"] = list(external)
            series["external_file"].attrs["starting_frame"] = [0] * len(external)
        if kind != "ImageSeries":
            series["imaging_plane"] = h5py.SoftLink("/general/optophysiology/ImagingPlane")
        if times_s is not None:
            series["timestamps"] = np.asarray(times_s, float)
            series["timestamps"].attrs["unit"] = "seconds"
        elif rate is not None:
            series["starting_time"] = start_s
            series["starting_time"].attrs["rate"] = rate
            series["starting_time"].attrs["unit"] = "seconds"
    return path


# -- Inscopix ---------------------------------------------------------------------------------------------
def isxd_footer(movie: Movie, **timing: Any) -> dict[str, Any]:
    """Make the description at the end of an ``.isxd`` movie; 20 Hz, two hours east of Greenwich."""
    kinds = {"uint16": 0, "float32": 1, "uint8": 2}
    return {
        "type": 0,
        "dataType": kinds[movie.dtype.name],
        "fileVersion": 1,
        "hasFrameHeaderFooter": False,
        "producer": {"version": "1.9.1"},
        "spacingInfo": {
            "numPixels": {"x": movie.shape[2], "y": movie.shape[1]},
            "pixelSize": {"x": {"num": 7, "den": 4}, "y": {"num": 7, "den": 4}},
            "topLeft": {"x": {"num": 0, "den": 1}, "y": {"num": 0, "den": 1}},
        },
        "timingInfo": {
            "numTimes": len(movie),
            "period": {"num": 50, "den": 1000},
            "start": {"secsSinceEpoch": {"num": 1715934225500, "den": 1000}, "utcOffset": 7200},
            "dropped": [],
            "cropped": [],
            "blank": [],
        }
        | timing,
        "extraProperties": {
            "animal": {"id": "subject1"},
            "microscope": {"type": "nVista3", "gain": 4, "led": {"exPower": 0.8}, "fps": {"fps": 20}},
        },
    }


def write_isxd(
    path: Path, movie: Movie, footer: Mapping[str, Any] | None = None, stamps_us: Sequence[int] | None = None
) -> Path:
    """Write an ``.isxd`` movie: frames, JSON, NUL, length; with the headers of frames where there are stamps.

    Parameters
    ----------
    path
        Its folder is made.
    movie
        (frame, height, width), the frames that are stored.
    footer
        Default: :func:`isxd_footer`.
    stamps_us
        The hardware's time of each frame; written into headers, in eight words of a byte each.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    facts = dict(footer if footer is not None else isxd_footer(movie))
    if stamps_us is not None:
        facts["hasFrameHeaderFooter"] = True
    with path.open("wb") as stream:
        for index, frame in enumerate(movie):
            header = np.zeros(ISXD_HEADER_WORDS, "<u2")
            if stamps_us is not None:
                header[1272:1280] = np.frombuffer(struct.pack("<Q", stamps_us[index]), np.uint8).astype("<u2") << 4
                stream.write(header.tobytes())
            stream.write(frame.astype(frame.dtype.newbyteorder("<")).tobytes())
            if stamps_us is not None:
                stream.write(np.zeros(ISXD_HEADER_WORDS, "<u2").tobytes())
        text = json.dumps(facts, indent=4).encode()
        stream.write(text + b"\0" + struct.pack("<Q", len(text)))
    return path


def write_inscopix_times(path: Path, times: Sequence[float | None], unit: str = "s") -> Path:
    """Write the table of times of an exported movie; None is a dropped frame."""
    lines = [f"Global Frame Number,Movie Number,Local Frame Number,Frame Timestamp ({unit})"]
    for index, time in enumerate(times):
        shown = "NaN" if time is None else f"{time:.6f}" if unit == "s" else f"{time:.0f}"
        lines.append(f"{index},0,{index},{shown}")
    path.write_text("\n".join(lines) + "\n")
    return path


def write_inscopix_session(root: Path, movie: Movie, frames_per_file: int = 1000) -> Path:
    """Write a session as DataJoint's workflow expects it, below ``root``."""
    folder = root / "session"
    inside = folder / "recording_1"
    for number, start in enumerate(range(0, len(movie), frames_per_file)):
        write_video(inside / f"movie-{number}.avi", movie[start : start + frames_per_file])
    rows = [f"{index}, {1000 + 50 * index}" for index in range(len(movie))]
    (inside / "movie-timestamps.csv").write_text("\n".join(["frame, time (ms)", *rows]) + "\n")
    facts = {
        "manual": {"mScope": {"ledMaxPower": [1.2]}},
        "microscope": {
            "fps": {"fps": 20},
            "gain": 3,
            "led": {"exPower": 0.6},
            "fov": {"width": movie.shape[2], "height": movie.shape[1]},
        },
    }
    (folder / "session.json").write_text(json.dumps(facts))
    return folder


# -- mio --------------------------------------------------------------------------------------------------
def buffer_rows(frames: int, buffers: int = 3) -> list[dict[str, Any]]:
    """Make the rows of a wire-free recording without a fault; the device counts frames from 100, at 20 Hz."""
    return [
        {
            "linked_list": number % 8,
            "frame_num": 100 + frame,
            "buffer_count": frame * buffers + number,
            "frame_buffer_count": number,
            "write_buffer_count": frame * buffers + number,
            "dropped_buffer_count": 0,
            "timestamp": 5000 + 50 * frame + number,
            "write_timestamp": 5004 + 50 * frame + number,
            "pixel_count": 256,
            "battery_voltage_raw": 100,
            "input_voltage_raw": 100,
            "buffer_recv_index": frame * buffers + number,
            "buffer_recv_unix_time": 1715934225.5 + 0.05 * frame,
            "black_padding_px": 0,
            "reconstructed_frame_index": frame,
        }
        for frame in range(frames)
        for number in range(buffers)
    ]


def write_mio(path: Path, movie: Movie, rows: Sequence[Mapping[str, Any]] | None = None) -> Path:
    """Write a wire-free recording: raw gray AVI, and a row a buffer beside it."""
    write_pyav_video(path, movie, pixel_format="gray")
    rows = buffer_rows(len(movie)) if rows is None else rows
    with path.with_suffix(".csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


# -- Bonsai -----------------------------------------------------------------------------------------------
def write_bonsai(path: Path, movie: Movie, lines: Sequence[str] | None = None) -> Path:
    """Write a video of OpenEphys.Miniscope and its table: time, frame number, trigger, quaternion."""
    write_video(path, movie)
    rows = [
        f"2024-05-17T10:23:{45 + index // 20:02d}.{index % 20 * 500000:07d}+02:00,{17 + index},"
        f"{index >= 10},0.7,0.1,0.1,0.7"
        for index in range(len(movie))
    ]
    path.with_suffix(".csv").write_text("\n".join(lines or rows) + "\n")
    return path

"""Readers of acquisition formats: folders in, :class:`Recording` out. It must not know algorithms or databases."""

from miniscope_core.io.clock import ClockPolicy
from miniscope_core.io.options import ClockColumns, Reader, ReadOptions
from miniscope_core.io.readers import READERS, find_recording, find_recordings, open_recording
from miniscope_core.io.recording import (
    ClockReport,
    FrameSource,
    Note,
    Recording,
    RecordingMetadata,
    VideoFile,
)

__all__ = [
    "READERS",
    "ClockColumns",
    "ClockPolicy",
    "ClockReport",
    "FrameSource",
    "Note",
    "ReadOptions",
    "Reader",
    "Recording",
    "RecordingMetadata",
    "VideoFile",
    "find_recording",
    "find_recordings",
    "open_recording",
]

"""Readers of acquisition formats: folders in, :class:`Recording` out. It must not know algorithms or databases."""

from miniscope_core.io.clock import ClockPolicy
from miniscope_core.io.joined import join_recordings, open_joined
from miniscope_core.io.options import ClockColumns, Reader, ReadOptions
from miniscope_core.io.readers import READERS, find_recording, find_recordings, open_recording
from miniscope_core.io.recording import (
    ClockReport,
    FrameSource,
    JoinedPart,
    Note,
    Recording,
    RecordingMetadata,
    VideoFile,
)
from miniscope_core.io.signals import Signal

__all__ = [
    "READERS",
    "ClockColumns",
    "ClockPolicy",
    "ClockReport",
    "FrameSource",
    "JoinedPart",
    "Note",
    "ReadOptions",
    "Reader",
    "Recording",
    "RecordingMetadata",
    "Signal",
    "VideoFile",
    "find_recording",
    "find_recordings",
    "join_recordings",
    "open_joined",
    "open_recording",
]

"""The frames of a recording whatever container they lie in, for readers whose clock is another matter."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from miniscope_core.io.recording import FrameSource, VideoFile


@dataclass(frozen=True)
class Pictures:
    """Frames of one or more files, what they have in common, and what is odd about them."""

    files: tuple[VideoFile, ...]
    shape: tuple[int, int]
    """Height and width, px."""
    dtype: np.dtype[Any]
    source: FrameSource
    problems: tuple[str, ...] = ()
    """What makes some frames doubtful; a strict reader refuses."""
    warnings: tuple[str, ...] = ()
    nominal_fps: float | None = None
    """A rate that the container's metadata claim, Hz; not to be trusted."""
    um_size: tuple[float, float] | None = None
    """Height and width of the field, µm, where the container tells."""
    config: Mapping[str, Any] = field(default_factory=dict)

    @property
    def frame_count(self) -> int:
        """Frames that decode."""
        return sum(file.frame_count for file in self.files)

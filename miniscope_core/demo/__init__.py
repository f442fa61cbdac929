"""The recording that ships with the package, its ground truth, and a walk through what becomes of it; runs nothing."""

import filecmp
import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

from miniscope_core.errors import ConflictError
from miniscope_core.quality.truth import GroundTruth

__all__ = ["DEMO_SESSION", "DEMO_SUBJECT", "copy_demo", "load_truth"]

DEMO_SUBJECT: Final = "demo_mouse"
"""The subject, as the recording's own metadata names it."""
DEMO_SESSION: Final = Path(DEMO_SUBJECT, "2024_05_17", "10_23_45")
"""The session's folder below the folder that :func:`copy_demo` is given."""
_DATA: Final = Path(__file__).parent / "data"


def copy_demo(folder: str | os.PathLike[str]) -> Path:
    """Copy the demo recording into a folder, all of it or nothing, and return its session folder.

    The copy has the form of a Miniscope-DAQ-V4 session::

        folder/demo_mouse/2024_05_17/10_23_45/
          metaData.json
          notes.csv
          My_V4_Miniscope/{0.avi, 1.avi, 2.avi, metaData.json, timeStamps.csv, headOrientation.csv}

    Parameters
    ----------
    folder
        Created with its parents; may hold other things, and an equal copy is left as it is.

    Returns
    -------
    Path
        ``folder / DEMO_SESSION``.

    Raises
    ------
    ConflictError
        When the session's folder is there with other content. Nothing is overwritten.
    """
    target = Path(folder) / DEMO_SESSION
    if target.exists():
        _refuse_other(target)
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    # A copy that was cut short must never look like a recording: it becomes the session by one rename.
    with tempfile.TemporaryDirectory(prefix=".demo-", dir=target.parent) as scratch:
        partial = Path(scratch) / target.name
        shutil.copytree(_DATA / DEMO_SESSION, partial, copy_function=shutil.copyfile)
        try:
            partial.rename(target)
        except OSError:
            if not target.exists():
                raise
            _refuse_other(target)  # somebody else was copying at the same time
    return target


def load_truth() -> GroundTruth:
    """Read the ground truth of the demo recording: 47 cells, 600 frames of 104×136 px.

    Returns
    -------
    GroundTruth
        Footprints as the optics show them, traces, spikes and the brain's motion.
    """
    return GroundTruth.load(_DATA / "truth.npz")


def _refuse_other(target: Path) -> None:
    source = _DATA / DEMO_SESSION
    if not target.is_dir():
        raise ConflictError(f"Demo recording at {target}: a file is in its place. Remove it or name another folder.")
    expected, got = _files(source), _files(target)
    odd = sorted(expected ^ got)
    odd += [name for name in sorted(expected & got) if not filecmp.cmp(source / name, target / name, shallow=False)]
    if odd:
        raise ConflictError(
            f"Demo recording at {target}: other content is there already ({', '.join(map(str, odd[:3]))}), "
            "and nothing was overwritten. Remove it or name another folder."
        )


def _files(folder: Path) -> set[Path]:
    """Return the relative paths of all files but hidden ones, which file browsers leave behind."""
    return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")}

"""The table: a line for each run, and the seconds of its stages."""

from typing import Final

from tests.benchmarks.cases import Measured

MIB: Final = 2**20
COLUMNS: Final = (
    ("recording", 18),
    ("method", 14),
    ("F1", 5),
    ("prec.", 5),
    ("recall", 6),
    ("IoU F1", 6),
    ("F1 all", 6),
    ("units", 9),
    ("trace r", 7),
    ("act. r", 6),
    ("shift px", 8),
    ("wall s", 7),
    ("CPU s", 7),
    ("×decode", 7),
    ("MiB", 6),
)


def header() -> str:
    """Return the names of the columns."""
    return _line(tuple(name for name, _ in COLUMNS))


def row(measured: Measured) -> str:
    """Return one line of the table."""
    score, cpu_s = measured.score, measured.cost.seconds["CPU"]
    return _line(
        (
            measured.name,
            measured.method,
            f"{score.f1:.3f}",
            f"{score.precision:.2f}",
            f"{score.recall:.2f}",
            f"{measured.score_iou.f1:.3f}",
            f"{measured.score_all.f1:.3f}",
            f"{score.unit_count}/{score.true_count}",
            f"{score.trace_correlation:.3f}",
            f"{score.activity_correlation:.3f}",
            f"{score.shift_rmse_px:.3f}",
            f"{measured.cost.seconds['wall']:.1f}",
            f"{cpu_s:.1f}",
            f"{cpu_s / max(measured.decode_cpu_s, 1e-9):.1f}",
            f"{measured.cost.peak_memory_bytes / MIB:.0f}",
        )
    )


def stages(measured: Measured) -> str:
    """Return the wall seconds of each stage, in one indented line."""
    return "    " + ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in measured.timings.items())


def _line(cells: tuple[str, ...]) -> str:
    fitted = (cell[:width].ljust(width) for cell, (_, width) in zip(cells, COLUMNS, strict=True))
    return " ".join(fitted).rstrip()

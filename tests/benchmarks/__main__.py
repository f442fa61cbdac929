"""``python -m tests.benchmarks``: run an engine on recordings with a known truth and print a table."""

import argparse
import multiprocessing
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from miniscope_core.errors import MiniscopeError
from tests.benchmarks.cases import Case, Measured, demo_case, folder_case, measure, simulated_case

MIB = 2**20
COLUMNS = (
    ("recording", 28),
    ("F1", 5),
    ("prec.", 5),
    ("recall", 6),
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure every case asked for, each in a process of its own; return 1 when an F1 is below ``--bar``."""
    options = _parser().parse_args(arguments)
    parameters = {"method": options.method} | dict(_assignment(text) for text in options.set)
    worst = 1.0
    with tempfile.TemporaryDirectory() as scratch:
        try:
            cases = _cases(options, Path(scratch))
        except (OSError, ValueError, MiniscopeError) as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        print(" ".join(name.ljust(width) for name, width in COLUMNS))
        for case in cases:
            output = options.output / case.name if options.output else None
            measured = _in_own_process(case, parameters, options.workers, output)
            print(row(measured), flush=True)
            print("    " + ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in measured.timings.items()))
            worst = min(worst, measured.score.f1)
    return int(worst < options.bar)


def row(measured: Measured) -> str:
    """Return one line of the table."""
    score = measured.score
    cells = (
        measured.name[:28],
        f"{score.f1:.3f}",
        f"{score.precision:.2f}",
        f"{score.recall:.2f}",
        f"{measured.score_all.f1:.3f}",
        f"{score.unit_count}/{score.true_count}",
        f"{score.trace_correlation:.3f}",
        f"{score.activity_correlation:.3f}",
        f"{score.shift_rmse_px:.3f}",
        f"{measured.wall_s:.1f}",
        f"{measured.cpu_s:.1f}",
        f"{measured.cpu_s / max(measured.decode_cpu_s, 1e-9):.1f}",
        f"{measured.peak_memory_bytes / MIB:.0f}",
    )
    return " ".join(cell.ljust(width) for cell, (_, width) in zip(cells, COLUMNS, strict=True))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("folders", nargs="*", type=Path, help="folders that hold session/ and truth.npz")
    parser.add_argument("--truth", type=Path, help="truth of the one folder given, when it lies elsewhere")
    parser.add_argument("--demo", action="store_true", help="the recording that ships")
    parser.add_argument(
        "--simulated", action="append", default=[], metavar="HxWxN:CELLS", help="such as 96x128x600:12; may be repeated"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the simulated recordings")
    parser.add_argument("--method", default="cnmfe")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a parameter that differs from its default"
    )
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--output", type=Path, help="keep the results below this folder")
    parser.add_argument("--bar", type=float, default=0.0, help="exit with 1 when an F1 is below")
    return parser


def _cases(options: argparse.Namespace, scratch: Path) -> list[Case]:
    if options.truth and len(options.folders) != 1:
        raise ValueError(f"--truth belongs to one folder: got {len(options.folders)}.")
    cases = [folder_case(folder, options.truth) for folder in options.folders]
    if options.demo or not (cases or options.simulated):
        cases.append(demo_case(scratch))
    return cases + [simulated_case(scratch, size, options.seed) for size in options.simulated]


def _assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise SystemExit(f"error: --set {text!r}: expected NAME=VALUE.")
    return name, value


def _in_own_process(case: Case, parameters: dict[str, Any], workers: int, output: Path | None) -> Measured:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(measure, case, parameters, workers, output).result()


if __name__ == "__main__":
    sys.exit(main())

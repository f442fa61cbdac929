"""Measure an engine, and other tools beside it, on recordings with a known truth, and print a table.

Without arguments: on the demo recording. With ``--make FOLDER`` the recordings named (dev_ca1 and dev_l23 unless others
are) are simulated first, where they are not there yet.
"""

import argparse
import multiprocessing
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from miniscope_core.errors import MiniscopeError
from tests.benchmarks import table
from tests.benchmarks.cases import Case, Measured, demo_case, folder_case, measure, simulated_case
from tests.benchmarks.peers import Peer, measure_peer, parse_peer
from tests.benchmarks.recordings import NAMED, make_recording
from tests.benchmarks.repeats import tell
from tests.benchmarks.speedup import measure_speedup, tell_speedup

DEFAULT_RECORDINGS = ("dev_ca1", "dev_l23")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure every case asked for, each run in a process of its own; return 1 when an F1 is below ``--bar``."""
    options = _parser().parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        try:
            parameters = {"method": options.method} | dict(_assignment(text) for text in options.set)
            peers = [parse_peer(text) for text in options.peer]
            cases = _cases(options, Path(scratch))
        except (OSError, ValueError, MiniscopeError) as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        if options.make_only:
            return 0
        print(table.header())
        worst = min(_compare(case, parameters, peers, options) for case in cases)
    return int(worst < options.bar)


def _compare(case: Case, parameters: dict[str, Any], peers: Sequence[Peer], options: argparse.Namespace) -> float:
    """Measure the engine and the other tools on one recording, and print it; return the engine's lowest F1."""
    once = _engine(case, parameters, options)
    _print(once)
    for peer in peers:
        try:
            _print(measure_peer(case, peer, options.workers))
        except MiniscopeError as error:
            print(f"    {error}", flush=True)
    if options.speedup:
        speedup = measure_speedup(lambda workers: _at_once(case, parameters, workers), options.workers, options.speedup)
        print(f"    {tell_speedup(case.name, speedup)}", flush=True)
    if options.repeat == 1:
        return once.score.f1
    often = _engine(case.repeated(options.repeat), parameters, options)
    _print(often)
    print(f"    {tell(case.name, once.cost, often.cost)}", flush=True)
    return min(once.score.f1, often.score.f1)


def _print(measured: Measured) -> None:
    print(table.row(measured))
    print(table.stages(measured), flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument(
        "recordings",
        nargs="*",
        metavar="RECORDING",
        help=f"folders that hold session/ and truth.npz; with --make any of {', '.join(NAMED)}, "
        "or REGION:SIZE_PX:SECONDS:SEED such as ca1:256:150:121",
    )
    parser.add_argument("--truth", type=Path, help="truth of the one folder given, when it lies elsewhere")
    parser.add_argument("--make", type=Path, metavar="FOLDER", help="simulate the recordings below this folder")
    parser.add_argument("--make-only", action="store_true", help="measure nothing")
    parser.add_argument(
        "--minisim-python",
        type=Path,
        metavar="PYTHON",
        help="interpreter that has minisim==1.0.3; by default an environment is made in the folder of --make",
    )
    parser.add_argument("--demo", action="store_true", help="the recording that ships")
    parser.add_argument(
        "--simulated", action="append", default=[], metavar="HxWxN:CELLS", help="such as 96x128x600:12; may be repeated"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the --simulated recordings")
    parser.add_argument("--method", default="cnmfe")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a parameter that differs from its default"
    )
    parser.add_argument(
        "--peer",
        action="append",
        default=[],
        metavar="NAME=PYTHON",
        help="run another tool too, in the interpreter that has it: suite2p=… or caiman=…; may be repeated",
    )
    parser.add_argument(
        "--repeat",
        type=_times,
        default=1,
        metavar="N",
        help="run the engine also on each recording played N times over, and extrapolate to a long one",
    )
    parser.add_argument(
        "--rim",
        type=float,
        default=0.0,
        metavar="RADIUS",
        help="see the recordings through a round lens of a radius in parts of the field, such as 0.5, whose rim "
        "darkens the corners; counted are the cells that get light",
    )
    parser.add_argument("--workers", type=_times, default=1)
    parser.add_argument(
        "--speedup",
        type=_times,
        default=0,
        metavar="N",
        help="run also with one worker and with --workers in turn, N times each, and tell how much faster that is",
    )
    parser.add_argument("--output", type=Path, help="keep the engine's results below this folder")
    parser.add_argument("--bar", type=float, default=0.0, help="exit with 1 when an F1 of the engine is below")
    return parser


def _cases(options: argparse.Namespace, scratch: Path) -> list[Case]:
    if options.truth and (len(options.recordings) != 1 or options.make):
        raise ValueError(f"--truth belongs to one folder: got {len(options.recordings)}, or --make.")
    if options.make:
        names = options.recordings or DEFAULT_RECORDINGS
        folders = [make_recording(options.make, name, options.minisim_python) for name in names]
    else:
        folders = [Path(name) for name in options.recordings]
    cases = [folder_case(folder, options.truth) for folder in folders]
    if options.demo or not (cases or options.simulated):
        cases.append(demo_case(scratch))
    cases += [simulated_case(scratch, size, options.seed) for size in options.simulated]
    return [replace(case, name=f"{case.name}, rim", rim=options.rim) for case in cases] if options.rim else cases


def _assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"--set {text!r}: expected NAME=VALUE.")
    return name, value


def _times(text: str) -> int:
    times = int(text)
    if times < 1:
        raise argparse.ArgumentTypeError(f"got {times}, expected at least 1")
    return times


def _engine(case: Case, parameters: dict[str, Any], options: argparse.Namespace) -> Measured:
    output = options.output / case.name if options.output else None
    return _at_once(case, parameters, [options.workers], output)[0]


def _at_once(
    case: Case, parameters: dict[str, Any], workers: Sequence[int], output: Path | None = None
) -> list[Measured]:
    """Measure runs at the same time, each in a process of its own."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(len(workers), mp_context=context) as pool:
        runs = [pool.submit(measure, case, parameters, count, output) for count in workers]
        return [run.result() for run in runs]


if __name__ == "__main__":
    sys.exit(main())

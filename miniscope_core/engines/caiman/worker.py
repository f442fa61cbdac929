"""Run CaImAn on one movie, in a Python that has it: ``python worker.py JOB.json``.

Written against CaImAn 1.12.1 and 1.13.1, by their public classes and functions. Run by its path in another environment:
it imports CaImAn, NumPy, SciPy, h5py and the standard library, and nothing of ours.

It talks on its standard output, one JSON object a line: ``{"event": "stage", "stage": …, "done": …, "total": …}``,
``{"event": "failed", "stage": …, "reason": …}`` and at the end ``{"event": "done", "versions": …, "timings": …,
"components": …}``. Whatever else is printed, by CaImAn or by the libraries below it, goes to standard error. Standard
input belongs to the one who started it: where that closes, this process and all it started end.
"""

import contextlib
import itertools
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

BLOCK_BYTES = 2**29
"""What a step of the rearrangement of the movie reads at once: smaller pieces of a frame than a page cost its reading
whole, again and again."""
SUMMARY_BYTES = 2**27
"""Size of the sample of frames that the correlation image is made of; its making takes several times as much."""
PATCH_FUNCTION = "cnmf_patches"
"""What CaImAn maps over patches (``source_extraction/cnmf/map_reduce.py``); of another name, nothing would be told."""
SAVED_OFFSET = 1e-4
"""What CaImAn's own ``save_memmap`` adds to every value."""


class NothingFoundError(Exception):
    """A step left no component to go on with."""


class Report:
    """Tells the one who started this process where the work is.

    Parameters
    ----------
    stream
        Text stream for the lines.
    """

    def __init__(self, stream: IO[str]) -> None:
        self.stream = stream
        self.timings: dict[str, float] = {}
        self.current = "start"
        self.steps = 1

    def send(self, event: str, **fields: Any) -> None:
        """Send one event."""
        self.stream.write(json.dumps({"event": event, **fields}) + "\n")
        self.stream.flush()

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Tell that a stage begins and ends, and add its wall seconds."""
        self.current, self.steps = name, 1
        self.send("stage", stage=name, done=0, total=1)
        start = time.perf_counter()
        yield
        self.timings[name] = self.timings.get(name, 0.0) + time.perf_counter() - start
        self.send("stage", stage=name, done=self.steps, total=self.steps)

    def step(self, done: int, steps: int) -> None:
        """Tell how many steps of the current stage are done; the end of the stage is the last of them."""
        self.steps = steps
        self.send("stage", stage=self.current, done=done, total=steps)


def main(path: str) -> int:
    """Do a job and return the exit status."""
    report = Report(take_output())
    threading.Thread(target=end_with_parent, daemon=True).start()
    try:
        job = json.loads(Path(path).read_text(encoding="utf-8"))
        report.send("done", **run(job, report))
    except NothingFoundError as error:
        report.send("failed", stage=report.current, reason=str(error), kind="nothing found")
    except MemoryError as error:
        report.send("failed", stage=report.current, reason=str(error) or "MemoryError", kind="memory")
    except Exception as error:  # noqa: BLE001 - whatever CaImAn raises is told, and why is on standard error
        import traceback

        traceback.print_exc()
        report.send("failed", stage=report.current, reason=f"{type(error).__name__}: {error}", kind="error")
    else:
        return 0
    return 1


def take_output() -> IO[str]:
    """Keep standard output for the report, and send what others print there to standard error."""
    own = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return own


def end_with_parent() -> None:
    """Wait until standard input closes, which it does when the one who started this process ends; then end all."""
    while os.read(0, 4096):
        pass
    if hasattr(os, "killpg") and os.getpgrp() == os.getpid():
        os.killpg(os.getpgrp(), signal.SIGKILL)
    os._exit(1)


def run(job: dict[str, Any], report: Report) -> dict[str, Any]:
    """Run every step of CaImAn and write its result.

    Parameters
    ----------
    job
        ``movie`` (HDF5 with the frames in ``mov``), ``groups`` (CaImAn's parameters), ``processes``, ``refit``,
        ``scratch`` and ``output``.
    report
        Told each stage.
    """
    with report.stage("importing CaImAn"):
        import caiman
        import caiman.cluster
        from caiman.source_extraction.cnmf.params import CNMFParams
    parameters = CNMFParams(params_dict=groups(job))
    processes = job["processes"]
    pool = caiman.cluster.setup_cluster("multiprocessing" if processes > 1 else "single", n_processes=processes)[1]
    try:
        motion, images = correct(job, parameters, pool, report)
        fitted = fit(job, parameters, images, pool, report)
        with report.stage("evaluation"):
            fitted.estimates.evaluate_components(images, fitted.params, dview=pool)
        with report.stage("saving"):
            save(job["output"], fitted, motion, images)
    finally:
        caiman.cluster.stop_server(dview=pool)
    return {
        "versions": versions(caiman),
        "timings": report.timings,
        "components": int(fitted.estimates.A.shape[1]),
    }


def groups(job: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return CaImAn's parameters by group, with the tuples that JSON cannot tell from lists, and the movie."""
    named = {
        group: {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
        for group, values in job["groups"].items()
    }
    return {**named, "data": {**named["data"], "fnames": [job["movie"]]}}


def correct(job: dict[str, Any], parameters: Any, pool: Any, report: Report) -> tuple[Any, Any]:
    """Correct motion and return CaImAn's motion object and the corrected movie, (frame, height, width), mapped."""
    import caiman
    import numpy as np
    from caiman.motion_correction import MotionCorrect

    with report.stage("motion correction"):
        motion = MotionCorrect([job["movie"]], dview=pool, **parameters.get_group("motion"))
        motion.motion_correct(save_movie=True)
    with report.stage("memory map"):
        border = 0 if motion.border_nan == "copy" else int(motion.border_to_0)
        mapped = rearrange(motion.mmap_file[0], job["scratch"], border)
        os.unlink(motion.mmap_file[0])  # as large as the movie in 32 bit, and not read again
        pixels, dims, frame_count = caiman.load_memmap(mapped)
        images = np.reshape(pixels.T, (frame_count, *dims), order="F")
    parameters.change_params({"data": {"dims": dims}, "patch": {"border_pix": job["groups"]["patch"]["border_pix"]}})
    return motion, images


def rearrange(corrected: str, scratch: str, border: int) -> str:
    """Rewrite a corrected movie so that a pixel's course lies in one piece, and return the file's name.

    ``save_memmap`` of CaImAn does this for one file by reading it whole, which a long recording does not allow.
    """
    import caiman
    import numpy as np

    by_frame, dims, frame_count = caiman.load_memmap(corrected)
    height, width = dims
    name = Path(scratch) / f"corrected_d1_{height}_d2_{width}_d3_1_order_C_frames_{frame_count}.mmap"
    by_pixel = np.memmap(name, np.float32, "w+", shape=(height * width, frame_count))
    step = max(1, BLOCK_BYTES // (4 * frame_count))
    least = np.inf
    for start in range(0, height * width, step):
        block = by_frame[start : start + step] + np.float32(SAVED_OFFSET)
        least = min(least, float(block.min()))
        by_pixel[start : start + step] = block
    if border:
        inside = np.zeros((height, width), bool)
        inside[border : height - border, border : width - border] = True
        by_pixel[~inside.ravel(order="F")] = least
    by_pixel.flush()
    return str(name)


class Gathered:
    """Results that come one by one, as CaImAn waits for those of a whole map."""

    def __init__(self, results: Sequence[Any]) -> None:
        self.results = results

    def get(self, timeout: float | None = None) -> list[Any]:
        """Wait for all of them, in order; the first error is raised."""
        return [one.get(timeout) for one in self.results]


def tell_patches(pool: Any, report: Report) -> None:
    """Let a pool tell each patch that is done: nearly all of the time of a fit, which CaImAn maps in one call."""
    as_one = pool.map_async

    def map_async(function: Any, arguments: Any, *others: Any, **named: Any) -> Any:
        if getattr(function, "__name__", "") != PATCH_FUNCTION:
            return as_one(function, arguments, *others, **named)
        patches = list(arguments)
        done = itertools.count(1)

        # Called in the pool's thread, while this one waits; what follows the patches is one step more.
        def tell(result: Any) -> None:
            report.step(next(done), len(patches) + 1)

        return Gathered([pool.apply_async(function, (one,), callback=tell) for one in patches])

    pool.map_async = map_async


def fit(job: dict[str, Any], parameters: Any, images: Any, pool: Any, report: Report) -> Any:
    """Find components, and fit once more on the whole field where that is asked for; return CaImAn's object."""
    from caiman.source_extraction.cnmf.cnmf import CNMF

    if pool is not None:
        tell_patches(pool, report)
    with report.stage("factorisation"):
        fitted = CNMF(n_processes=job["processes"], params=parameters, dview=pool)
        try:
            fitted.fit(images)
        except Exception as error:
            # Without any component the steps after seeding fail, each in its own way.
            if count(fitted) == 0:
                raise NothingFoundError(f"no component was found ({type(error).__name__}: {error})") from error
            raise
        refuse_nothing(fitted)
    if job["refit"]:
        with report.stage("refit"):
            fitted = fitted.refit(images, dview=pool)
            refuse_nothing(fitted)
    return fitted


def count(fitted: Any) -> int | None:
    """Return the number of components, or None before there was any step that could find some."""
    footprints = fitted.estimates.A
    return None if footprints is None else int(footprints.shape[-1])


def refuse_nothing(fitted: Any) -> None:
    """Raise where no component is left."""
    if not count(fitted):
        raise NothingFoundError("no component was found")


def save(output: str, fitted: Any, motion: Any, images: Any) -> None:
    """Save what CaImAn saves, and the motion correction beside it as DataJoint does, under a name that is whole."""
    import h5py

    partial = f"{output}.partial.hdf5"
    fitted.save(partial)
    with h5py.File(partial, "r+") as file:
        group = file.create_group("motion_correction")
        for name, values in {**shifts(motion), **summary(motion, images, fitted.params)}.items():
            group.create_dataset(name, data=values)
    os.replace(partial, output)


def shifts(motion: Any) -> dict[str, Any]:
    """Return CaImAn's shifts by the names that DataJoint gives them; piece-wise ones with their patches."""
    import numpy as np

    if not motion.pw_rigid:
        return {"shifts_rig": np.asarray(motion.shifts_rig, np.float64)}
    named = {
        "x_shifts_els": np.asarray(motion.x_shifts_els, np.float64),
        "y_shifts_els": np.asarray(motion.y_shifts_els, np.float64),
    }
    places = motion.coord_shifts_els[0] if len(motion.coord_shifts_els) else None
    if places is not None and all(place is not None for place in places):
        named["coord_shifts_els"] = np.asarray(places)
    return named


def summary(motion: Any, images: Any, parameters: Any) -> dict[str, Any]:
    """Return summary images, (height, width); mean and maximum are of the corrected movie, raised as CaImAn does."""
    import numpy as np
    from caiman.summary_images import correlation_pnr, local_correlations

    template = motion.total_template_els if motion.pw_rigid else motion.total_template_rig
    frame_count, height, width = images.shape
    courses = images.reshape(frame_count, -1, order="F").T  # (pixel, frame), as mapped
    average, highest = np.empty(len(courses), np.float32), np.empty(len(courses), np.float32)
    step = max(1, BLOCK_BYTES // (4 * frame_count))
    for start in range(0, len(courses), step):
        block = np.asarray(courses[start : start + step])
        average[start : start + step], highest[start : start + step] = block.mean(axis=1), block.max(axis=1)
    stride = max(1, -(-frame_count * height * width * 4 // SUMMARY_BYTES))
    sample = np.array(images[::stride])
    named = {
        "reference_image": np.asarray(template, np.float32),
        "average_image": average.reshape((height, width), order="F"),
        "max_image": highest.reshape((height, width), order="F"),
    }
    if parameters.get("init", "method_init") == "corr_pnr":
        correlation, named["pnr_image"] = correlation_pnr(
            sample, gSig=parameters.get("init", "gSig")[0], swap_dim=False
        )
    else:
        correlation = local_correlations(sample, swap_dim=False)
    return {**named, "correlation_image": np.nan_to_num(np.asarray(correlation, np.float32))}


def versions(caiman: Any) -> dict[str, str]:
    """Return the versions of what computed the numbers."""
    import platform

    import h5py
    import numpy
    import scipy

    packages = {"caiman": caiman, "numpy": numpy, "scipy": scipy, "h5py": h5py}
    named = {name: str(getattr(package, "__version__", "unknown")) for name, package in packages.items()}
    return {**named, "python": platform.python_version()}


if __name__ == "__main__":
    # This file's folder is no place to import from: its modules are those of another environment.
    sys.path[:] = [one for one in sys.path if Path(one or ".").resolve() != Path(__file__).resolve().parent]
    sys.exit(main(sys.argv[1]))

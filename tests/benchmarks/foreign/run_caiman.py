"""Run CaImAn's one-photon pipeline on a recording, in a Python that has CaImAn: ``python run_caiman.py JOB.json``.

Written against CaImAn 1.12.1 and tried with it, built from its source, on one worker and on two. It is distributed by
conda-forge; the package called ``caiman`` on PyPI is something else.

It takes the steps of CaImAn's own one-photon demo, with the parameters of that demo but those in ``TUNED``,
which were chosen by hand on the recording dev_ca1 with its truth known: CaImAn at its best, not out of the box.

CaImAn runs as a program of its own; nothing of ours is imported here.
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

TUNED = {"gSig": (4, 4), "gSiz": (17, 17), "min_corr": 0.80, "min_pnr": 5}
TUNED_MOTION = {"gSig_filt": (5, 5), "max_shifts": (15, 15)}
timings: dict[str, float] = {}


def main(job: dict[str, Any]) -> None:
    """Run every step and write one npz of what was found."""
    with stage("importing"):
        import caiman
        from caiman.motion_correction import MotionCorrect
        from caiman.source_extraction.cnmf.cnmf import CNMF
        from caiman.source_extraction.cnmf.params import CNMFParams
    parameters = CNMFParams(params_dict=groups(job))
    workers = job["workers"]
    pool = caiman.cluster.setup_cluster("multiprocessing" if workers > 1 else "single", n_processes=workers)[1]
    try:
        with stage("motion correction"):
            motion = MotionCorrect(job["files"], dview=pool, **parameters.get_group("motion"))
            motion.motion_correct(save_movie=True)
        with stage("memory map"):
            mapped = caiman.save_memmap(motion.mmap_file, base_name="memmap_", order="C", border_to_0=0, dview=pool)
            pixels, dims, frame_count = caiman.load_memmap(mapped)
            images = pixels.T.reshape((frame_count, *dims), order="F")
        parameters.change_params({"data": {"dims": dims}, "patch": {"border_pix": 0}})
        with stage("factorisation"):
            fitted = CNMF(n_processes=workers, params=parameters, dview=pool)
            fitted.fit(images)
        with stage("evaluation"):
            fitted.estimates.evaluate_components(images, fitted.params, dview=pool)
    finally:
        caiman.stop_server(dview=pool)
    save(job["output"], fitted.estimates, motion, dims, caiman.__version__)


def groups(job: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters by group: the demo's (demos/general/params_demo_pipeline_cnmfE.json), and ours."""
    return {
        "data": {"fnames": job["files"], "fr": job["fps"], "decay_time": job["decay_s"]},
        "motion": {
            "pw_rigid": False,
            "strides": (48, 48),
            "overlaps": (24, 24),
            "max_deviation_rigid": 3,
            "border_nan": "copy",
            **TUNED_MOTION,
        },
        "init": {
            "method_init": "corr_pnr",
            "K": None,
            "ssub": 1,
            "tsub": 2,
            "nb": 0,
            "normalize_init": False,
            "center_psf": True,
            "ssub_B": 2,
            "ring_size_factor": 1.4,
            **TUNED,
        },
        "preprocess": {"p": 1},
        "temporal": {"p": 1, "method_deconvolution": "oasis"},
        "spatial": {"update_background_components": True},
        "patch": {
            "rf": 40,
            "stride": 20,
            "only_init": True,
            "nb_patch": 0,
            "low_rank_background": None,
            "del_duplicates": True,
        },
        "merging": {"merge_thr": 0.7},
        "quality": {"min_SNR": 2.5, "rval_thr": 0.85, "use_cnn": False},
    }


def save(path: str, estimates: Any, motion: Any, dims: tuple[int, int], version: str) -> None:
    """Write what was found in our conventions: C-ordered pixels, shifts as the correction applied, (dy, dx)."""
    import numpy as np
    import scipy.sparse

    height, width = dims
    columns = scipy.sparse.coo_array(estimates.A)  # (pixel in Fortran order, unit)
    x, y = np.divmod(columns.row, height)
    footprints = scipy.sparse.csr_array(
        (columns.data.astype(np.float32), (columns.col, y * width + x)), shape=(columns.shape[1], height * width)
    )
    accepted = np.zeros(columns.shape[1], bool)
    accepted[estimates.idx_components] = True
    np.savez(
        path,
        footprints_data=footprints.data,
        footprints_indices=footprints.indices,
        footprints_indptr=footprints.indptr,
        shape=np.asarray(dims),
        traces=estimates.C,
        activity=estimates.S,
        shifts_px=np.asarray(motion.shifts_rig, np.float64),
        accepted=accepted,
        timings=json.dumps(timings),
        version=version,
    )


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Add the wall seconds of the enclosed work to a stage."""
    start = time.perf_counter()
    yield
    timings[name] = time.perf_counter() - start


if __name__ == "__main__":
    job = json.loads(Path(sys.argv[1]).read_text())
    # All before CaImAn and NumPy are imported. One thread for each worker, as CaImAn asks for; and two runs' working
    # files have the same names, so they must never meet.
    os.environ |= {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}
    os.environ |= {"CAIMAN_TEMP": job["scratch"], "CAIMAN_DATA": job["scratch"]}
    main(job)

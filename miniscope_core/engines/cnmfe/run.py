"""The engine: motion correction, factorisation, traces, activity and quality, in this order, streamed."""

import importlib.metadata
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

import miniscope_core
from miniscope_core.engines.base import Resources
from miniscope_core.engines.cnmfe.correct import Corrected, correct
from miniscope_core.engines.cnmfe.deconvolve import METHOD, deconvolve
from miniscope_core.engines.cnmfe.factorise import Fit, factorise
from miniscope_core.engines.cnmfe.footprints import enlarge, enlarge_footprint, to_sparse
from miniscope_core.engines.cnmfe.movie import ScratchRows
from miniscope_core.engines.cnmfe.parallel import Context
from miniscope_core.engines.cnmfe.plan import plan_workers
from miniscope_core.engines.cnmfe.quality import correlate, halos, peak_snr, shapes
from miniscope_core.engines.cnmfe.traces import blocks, extract
from miniscope_core.engines.measure import Measure
from miniscope_core.engines.resolve import resolve
from miniscope_core.errors import EngineError, MiniscopeError
from miniscope_core.io.recording import Recording
from miniscope_core.models.parameters import CnmfeParameters
from miniscope_core.progress import Progress
from miniscope_core.result import ProcessingResult, ResultInfo, ResultWriter, write_step, write_units

_LEAST_TRUST: Final = 0.05
_LEAST_FRAMES: Final = 32
_LEAST_CELLS_ACROSS: Final = 3
_LEAST_LIGHT: Final = 0.4
"""Part of the light from which a unit behind the rim of the lens is taken for a cell: of 35 units with less, in four
simulated recordings with a rim, 4 were."""
_TOLD_SHARE: Final = 0.01
"""Part of the frames beyond the largest shift from which it is told."""
_PACKAGES: Final = ("numpy", "scipy", "opencv-python-headless", "calab", "zarr")


class CnmfeEngine:
    """The built-in one-photon engine: constrained factorisation with a ring background, streamed.

    Memory does not grow with the length of the recording; the same recording and parameters give the same result
    whatever the number of workers.
    """

    def run(
        self,
        recording: Recording,
        parameters: CnmfeParameters,
        output_dir: Path,
        progress: Progress,
        resources: Resources,
    ) -> ProcessingResult:
        """Process a recording; see :class:`miniscope_core.engines.base.Engine`.

        Footprints have a peak of one, so traces are in counts of the recording at the brightest pixel, relative to
        the mean of the movie.

        Raises
        ------
        EngineError
            When the recording is too short or too small for the cell diameter, the memory limit too low, or the disk
            too full.
        ParameterError
            When the cell diameter is given in µm and the size of a pixel is not known.
        """
        parameters = resolve(parameters, recording)
        _check(recording, parameters)
        workers = plan_workers(recording, parameters, resources)
        writer = ResultWriter(output_dir)
        threads = cv2.getNumThreads()
        cv2.setNumThreads(1)  # the engine's own threads already use every worker
        try:
            # So does BLAS by itself, and threads of its own would only wait for each other's small products.
            with threadpool_limits(1), Measure() as measure, ThreadPoolExecutor(workers) as pool:
                context = Context(pool, workers, progress)
                return _Job(recording, parameters, resources.scratch_dir, writer, context, measure).run()
        except OSError as error:
            if isinstance(error, MiniscopeError):  # a missing video is an OSError too, and says enough
                raise
            raise EngineError(
                f"Working files in {resources.scratch_dir} or result in {output_dir}: {error}. "
                "Free space or name another folder."
            ) from error
        finally:
            cv2.setNumThreads(threads)


@dataclass
class _Job:
    """One run of the engine, step by step."""

    recording: Recording
    parameters: CnmfeParameters
    scratch: Path
    writer: ResultWriter
    context: Context
    measure: Measure

    def run(self) -> ProcessingResult:
        with self.measure.stage("motion correction"):
            corrected = correct(self.recording, self.parameters, self.scratch, self.context)
        with self.measure.stage("factorisation"):
            fit = factorise(corrected, self.parameters, self.scratch, self.context)
        notes: tuple[str, ...] = ()
        if self.parameters.max_shift_px and not corrected.aligned:
            notes += ("No motion corrected: the frames have no structure to align to.",)
        if corrected.aligned and self.parameters.motion == "piecewise" and corrected.local_trust < _LEAST_TRUST:
            notes += ("The field moves as one: patches were given the shift of the whole frame.",)
        if corrected.beyond_share > _TOLD_SHARE:
            notes += (
                f"{corrected.beyond_share:.0%} of the frames match the others better {corrected.beyond_px:.0f} px "
                f"away, beyond max_shift_px={self.parameters.max_shift_px}: raise it.",
            )
        if corrected.lens is not None:
            notes += (
                f"{corrected.lens.dark_share:.0%} of the field lie in the dark behind the rim of the lens: no cells "
                "are found there. Its shadow was kept out of the motion correction.",
            )
        if fit.factors.footprints:
            self._traces(corrected, fit)
        else:
            notes += ("No cells found: no pixel passed both min_corr and min_pnr.",)
            self._nothing()
        with self.measure.stage("writing"):
            self._write(corrected, fit)
        for movie in {id(m): m for m in (corrected.movie, corrected.fit)}.values():
            movie.close()
        return self.writer.finish(self._info(len(fit.factors.footprints), notes))

    def _traces(self, corrected: Corrected, fit: Fit) -> None:
        """Extract, deconvolve and judge every unit, and write what belongs to units."""
        footprints = fit.factors.footprints
        large = [enlarge_footprint(footprint, corrected.bin_factor) for footprint in footprints]
        scale = [float(footprint.weights.max()) for footprint in footprints]
        units, frames = len(footprints), self.recording.frame_count
        with self.measure.stage("trace extraction"):
            raw = extract(corrected.movie, fit.ring.mean, fit.ring, footprints, self.scratch / "raw.f32", self.context)
        outputs = {name: ScratchRows(self.scratch / f"{name}.f32", (units, frames)) for name in _UNIT_ROWS}
        facts = np.zeros((units, 3))

        def work(unit: int) -> tuple[float, float, float]:
            values = raw.read(unit) * np.float32(scale[unit])
            solved = deconvolve(
                values,
                self.recording.fps,
                self.parameters.rise_time_s,
                self.parameters.decay_time_s,
                self.recording.part_starts,
            )
            for name, row in zip(_UNIT_ROWS, (values, solved.trace, solved.activity), strict=True):
                outputs[name].write(unit, 0, row)
            return solved.baseline, solved.noise, peak_snr(solved.trace, solved.baseline, solved.noise)

        with self.measure.stage("deconvolution"):
            for unit, fact in enumerate(self.context.run("deconvolution", work, range(units))):
                facts[unit] = fact
        large_rows = to_sparse(large, self.recording.shape)
        snr = facts[:, 2]
        with self.measure.stage("quality"):
            correlation = correlate(outputs["traces"], _CORRELATION_FRAMES)
            halo = halos(large_rows, correlation, snr, self.parameters.max_halo_corr)
            area, elongation = shapes(large, self.parameters.cell_diameter_px)
        with self.measure.stage("writing"):
            for name, rows in outputs.items():
                array = self.writer.create(name, rows.shape)
                for part in range(0, units, write_units()):
                    some = slice(part, min(part + write_units(), units))
                    for columns, block in blocks(rows, write_step(), some):
                        array[some, columns] = block
                rows.close()
        raw.close()
        asked = self.parameters
        shaped = (area <= asked.max_area) & (elongation <= asked.max_elongation)
        accepted = ~halo & shaped & (snr >= asked.min_snr) & (fit.r_value >= asked.min_r_value)
        if corrected.lens is not None:
            accepted &= corrected.lens.seen(large_rows) >= _LEAST_LIGHT
        self.writer.write_footprints(large_rows)
        for name, values in (
            ("accepted", accepted),
            ("snr", snr),
            ("r_value", fit.r_value),
            ("baseline", facts[:, 0]),
            ("noise", facts[:, 1]),
            ("decay_time_s", np.full(units, self.parameters.decay_time_s)),
        ):
            self.writer.write(name, values)

    def _nothing(self) -> None:
        """Write the arrays of zero units."""
        for name in _UNIT_ROWS:
            self.writer.create(name, (0, self.recording.frame_count))
        height, width = self.recording.shape
        self.writer.write_footprints(to_sparse([], (height, width)))
        for name in ("accepted", "snr", "r_value", "baseline", "noise", "decay_time_s"):
            self.writer.write(name, np.zeros(0))

    def _write(self, corrected: Corrected, fit: Fit) -> None:
        """Write what belongs to the recording."""
        shape, bin_factor = self.recording.shape, corrected.bin_factor
        arrays: dict[str, NDArray[Any]] = {
            "shifts_px": corrected.shifts,
            "outlier_frames": corrected.outliers,
            "timestamps_s": self.recording.timestamps_s,
            "seeds_px": fit.seeds * bin_factor + bin_factor // 2,
            "image_template": corrected.template,
            "image_average": corrected.average,
            "image_max": corrected.maximum,
            "image_correlation": enlarge(fit.images.correlation, bin_factor, shape),
            "image_pnr": enlarge(fit.images.pnr, bin_factor, shape),
        }
        if corrected.local_shifts is not None and corrected.patch_ranges is not None:
            arrays["block_shifts_px"] = corrected.local_shifts.transpose(1, 0, 2)
            arrays["block_ranges_px"] = corrected.patch_ranges
        for name, values in arrays.items():
            self.writer.write(name, values)

    def _info(self, units: int, notes: tuple[str, ...]) -> ResultInfo:
        return ResultInfo(
            method=self.parameters.method,
            package="miniscope_core",
            package_version=miniscope_core.__version__,
            shape=self.recording.shape,
            frame_count=self.recording.frame_count,
            unit_count=units,
            fps=self.recording.fps,
            parameters=self.parameters.model_dump(mode="json"),
            versions={name: importlib.metadata.version(name) for name in _PACKAGES},
            timings=self.measure.timings,
            cpu_seconds=self.measure.cpu_seconds,
            peak_memory_bytes=self.measure.peak_memory_bytes,
            cell_diameter_px=self.parameters.cell_diameter_px,
            activity_method=METHOD,
            notes=notes,
        )


_CORRELATION_FRAMES: Final = 4096
_UNIT_ROWS: Final = ("fluorescence", "traces", "activity")


def _check(recording: Recording, parameters: CnmfeParameters) -> None:
    """Refuse a recording that nothing can be found in."""
    if recording.frame_count < _LEAST_FRAMES:
        raise EngineError(
            f"Recording at {recording.directory}: got {recording.frame_count} frames, "
            f"expected at least {_LEAST_FRAMES}. Is the copy complete?"
        )
    least = _LEAST_CELLS_ACROSS * parameters.cell_diameter_px
    if min(recording.shape) < least:
        height, width = recording.shape
        raise EngineError(
            f"Recording at {recording.directory}: got frames of {height}×{width} px, expected at least {least:.0f} px "
            f"on each side for cells of {parameters.cell_diameter_px:g} px. Give its cell_diameter_px."
        )

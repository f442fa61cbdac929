"""The simulator is what other tests call true, so its own claims are checked first."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import scipy.ndimage

from tests.simulation import simulate


def test_same_seed_gives_the_same_movie_and_another_seed_another() -> None:
    first, again, other = (simulate((40, 48), 30, 3, seed=seed) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first.movie, again.movie)
    np.testing.assert_array_equal(first.footprints, again.footprints)
    assert not np.array_equal(first.movie, other.movie)


def test_axes_are_frame_y_x() -> None:
    made = simulate((40, 56), 25, 4)
    assert made.movie.shape == (25, 40, 56)
    assert made.footprints.shape == (4, 40, 56)
    assert made.traces.shape == made.spikes.shape == (4, 25)
    assert made.motion_px.shape == (25, 2)
    assert made.movie.dtype == np.uint8


def test_correction_is_the_negative_of_the_motion() -> None:
    made = simulate((64, 80), 80, 6, background=0, brightness=1e-3, motion_px=2.0, seed=3)
    movie = made.movie.astype(float)
    reference = movie[np.argmin(np.hypot(*made.motion_px.T))]
    moved = int(np.argmax(-made.motion_px.prod(1)))  # far along both axes, in opposite directions
    inside = (slice(14, -14), slice(14, -14))

    def distance(shift: np.ndarray) -> float:
        corrected = scipy.ndimage.shift(movie[moved], shift, order=1)
        blurred = scipy.ndimage.gaussian_filter(corrected - reference, 1.0)
        return float(np.std(blurred[inside]))

    dy, dx = made.motion_px[moved]
    right = distance(np.array([-dy, -dx]))
    for wrong in ((dy, -dx), (-dy, dx), (dy, dx), (0, 0), (-dx, -dy)):
        assert right < 0.8 * distance(np.array(wrong))


def test_traces_rise_after_spikes_and_decay_between_them() -> None:
    made = simulate((40, 48), 400, 3, fps=20.0, decay_s=0.4, event_rate_hz=0.05)
    quiet = np.stack([np.convolve(row, np.ones(8))[: made.spikes.shape[1]] == 0 for row in made.spikes])
    both = quiet[:, 1:] & (made.traces[:, :-1] > 1e-3 * made.traces.max())
    ratio = made.traces[:, 1:][both] / made.traces[:, :-1][both]
    np.testing.assert_allclose(ratio, np.exp(-1 / (0.4 * 20)), rtol=1e-2)
    before = quiet & (np.cumsum(made.spikes, axis=1) == 0)
    np.testing.assert_allclose(made.traces[before], 0, atol=1e-6)
    assert (made.spikes.sum(1) >= 1).all()


def test_a_single_spike_peaks_within_three_frames() -> None:
    made = simulate((40, 48), 400, 3, fps=20.0, decay_s=0.4, event_rate_hz=1e-6, seed=4)
    for spikes, trace in zip(made.spikes, made.traces, strict=True):
        frame = int(np.argmax(spikes))
        assert frame < int(np.argmax(trace)) <= frame + 3


def test_a_soma_is_as_wide_at_half_height_as_asked() -> None:
    made = simulate((64, 64), 10, 1, diameter_px=12, centers_px=[(32, 32)])
    area = (made.footprints[0] >= 0.5).sum()
    assert 2 * np.sqrt(area / np.pi) == pytest.approx(12, rel=0.08)


def test_cells_are_in_the_movie_where_the_footprints_say() -> None:
    made = simulate((64, 80), 300, 1, centers_px=[(20, 55)], background=0, motion_px=0, brightness=0.3, seed=1)
    height = made.traces[0] @ (made.movie - made.movie.mean(0)).reshape(300, -1)
    y, x = np.unravel_index(int(np.argmax(scipy.ndimage.gaussian_filter(height.reshape(64, 80), 2))), (64, 80))
    assert np.hypot(y - 20, x - 55) < 3


def test_twelve_bit_movies_use_more_than_eight_bits() -> None:
    made = simulate((40, 48), 20, 3, dtype=np.uint16)
    assert made.movie.dtype == np.uint16
    assert 255 < made.movie.max() <= 4095
    with pytest.raises(ValueError, match="8-bit"):
        made.write_v4(Path("never"))


def test_too_many_cells_are_refused_and_not_silently_dropped() -> None:
    with pytest.raises(ValueError, match="No room for 200 cells"):
        simulate((40, 48), 10, 200)


def test_recording_from_memory_gives_the_frames_and_the_clock() -> None:
    made = simulate((40, 48), 50, 3)
    recording = made.recording()
    assert (recording.frame_count, recording.shape) == (50, (40, 48))
    assert recording.fps == pytest.approx(20, rel=0.03)
    np.testing.assert_array_equal(recording.frames(7, 31, 4), made.movie[7:31:4])


def test_written_session_decodes_to_the_same_pixels(tmp_path: Path) -> None:
    made = simulate((40, 48), 50, 3)
    device = made.write_v4(tmp_path / "session", frames_per_file=20)
    assert sorted(path.name for path in device.glob("*.avi")) == ["0.avi", "1.avi", "2.avi"]
    frames = []
    for name in ("0.avi", "1.avi", "2.avi"):
        capture = cv2.VideoCapture(str(device / name))
        while (step := capture.read())[0]:
            frames.append(step[1][..., 0])
        capture.release()
    np.testing.assert_array_equal(np.stack(frames), made.movie)
    assert len((device / "timeStamps.csv").read_text().splitlines()) == 51

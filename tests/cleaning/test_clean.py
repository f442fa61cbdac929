"""Cleaning against what is true: each step undoes what it is for, leaves the rest, and changes no frame by company."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from miniscope_core.cleaning import clean
from miniscope_core.errors import ParameterError
from miniscope_core.io.recording import Recording
from miniscope_core.models.cleaning import Cleaning, Crop
from tests.simulation import ArraySource, Simulated, simulate


@pytest.fixture(scope="module")
def scene() -> Simulated:
    return simulate(shape=(96, 128), frame_count=300, seed=6)


def recording(scene: Simulated, movie: NDArray[Any]) -> Recording:
    return replace(scene.recording(), source=ArraySource(np.clip(np.rint(movie), 0, 255).astype(np.uint8)))


def error(frames: NDArray[Any], truth: NDArray[Any]) -> float:
    """Return the deviation of what differs, whatever the brightness of a frame."""
    difference = frames.astype(np.float64) - truth
    return float((difference - difference.mean((1, 2), keepdims=True)).std())


def test_nothing_asked_for_changes_nothing(scene: Simulated) -> None:
    given = scene.recording()
    cleaned = clean(given)
    assert cleaned.recording is given
    assert (cleaned.notes, dict(cleaned.images), cleaned.filled.tolist()) == ((), {}, [])


def test_stripes_go_and_cells_stay(scene: Simulated) -> None:
    rows = 5 * np.random.default_rng(0).standard_normal((300, 96, 1))
    cleaned = clean(recording(scene, scene.movie + rows), Cleaning(stripes=True))
    assert error(scene.movie + rows, scene.movie) > 4.9
    # Of white noise over rows a blur with a deviation of 6 px keeps 1.1 of 5; the scene's own rows are the rest.
    assert error(cleaned.recording.frames(), scene.movie) < 1.4
    untouched = clean(scene.recording(), Cleaning(stripes=True)).recording.frames()
    assert error(untouched, scene.movie) < 0.9


def test_flicker_goes_from_every_pixel(scene: Simulated) -> None:
    gain = 1 + 0.1 * np.random.default_rng(0).standard_normal((300, 1, 1))
    cleaned = clean(recording(scene, scene.movie * gain), Cleaning(flicker=True)).recording.frames()
    means = cleaned.mean((1, 2))
    assert means.std() / means.mean() < 1e-4
    np.testing.assert_allclose(means.mean(), scene.movie.mean(), rtol=0.03)


@pytest.mark.parametrize("value", [250, 0], ids=["hot", "dead"])
def test_hot_pixels_get_what_is_around_them_and_no_other_pixel_changes(scene: Simulated, value: int) -> None:
    rng = np.random.default_rng(2)
    bad = rng.choice(scene.movie[0].size, 40, replace=False)
    movie = scene.movie.copy()
    movie.reshape(300, -1)[:, bad] = value
    movie[:, :, 70] = value  # a whole column
    cleaned = clean(recording(scene, movie), Cleaning(hot_pixels=True))
    frames = cleaned.recording.frames()
    spoilt = (movie != scene.movie).any(0)
    np.testing.assert_array_equal(frames[:, ~spoilt], scene.movie[:, ~spoilt])
    noise = np.diff(scene.movie.astype(float), axis=0).std() / np.sqrt(2)
    assert (frames[:, spoilt] - scene.movie[:, spoilt]).std() < 2 * noise
    assert f"hot_pixels ({spoilt.sum()} found)" in cleaned.notes[0]


def test_a_blinking_pixel_is_a_hot_one(scene: Simulated) -> None:
    movie = scene.movie.copy()
    movie[:, 40, 50] = np.random.default_rng(3).choice([20, 160], 300)
    frames = clean(recording(scene, movie), Cleaning(hot_pixels=True)).recording.frames()
    assert frames[:, 40, 50].std() < 20 < movie[:, 40, 50].std()


def test_a_field_full_of_edges_is_not_taken_for_hot_pixels(scene: Simulated) -> None:
    checked = (np.indices((96, 128)).sum(0) % 7 == 0) * 150
    with pytest.raises(ParameterError, match=r"hot_pixels: 1\d% of the pixels stand out"):
        clean(recording(scene, scene.movie // 4 + checked), Cleaning(hot_pixels=True))


def test_glow_goes_and_cells_keep_their_height(scene: Simulated) -> None:
    y, x = np.mgrid[:96, :128]
    glow = 60 * np.exp(-((y - 20) ** 2 + (x - 30) ** 2) / 2 / 40**2)
    cleaned = clean(recording(scene, scene.movie + glow), Cleaning(glow=True)).recording.frames()
    assert np.ptp(cleaned.mean(0)[::16, ::16]) < 0.6 * np.ptp((scene.movie + glow).mean(0)[::16, ::16])
    changes = [movie.astype(float) - movie.mean(0) for movie in (cleaned, scene.movie)]
    np.testing.assert_allclose(*changes, atol=1.01)  # rounding, and what 8 bits cannot show


def test_crop_and_binning_are_exact(scene: Simulated) -> None:
    steps = Cleaning(crop=Crop(top=7, left=11, height=60, width=81), binning=3)
    cleaned = clean(scene.recording(), steps).recording
    assert cleaned.shape == (20, 27)
    expected = scene.movie[:, 7:67, 11:92].reshape(300, 20, 3, 27, 3).mean((2, 4))
    np.testing.assert_allclose(cleaned.frames(), expected, rtol=1e-6)


def test_size_of_a_pixel_grows_with_binning_alone(scene: Simulated) -> None:
    told = scene.recording().metadata.model_copy(update={"um_width": 256.0, "um_height": 192.0})
    given = replace(scene.recording(), metadata=told)
    assert given.pixel_size_um == 2
    steps = Cleaning(crop=Crop(top=1, left=1, height=61, width=81), binning=2)
    cleaned = clean(given, steps).recording
    assert cleaned.pixel_size_um == 4
    assert (cleaned.metadata.um_height, cleaned.metadata.um_width) == (120, 160)


@pytest.mark.parametrize("steps", ["stripes", "flicker", "hot_pixels", "glow", "binning=2", "find_broken+stripes"])
def test_a_frame_is_the_same_in_whatever_company_it_is_read(scene: Simulated, steps: str) -> None:
    movie = scene.movie.copy()
    movie[20] = 0
    cleaned = clean(recording(scene, movie), Cleaning.parse([steps])).recording
    whole = cleaned.frames()
    assert whole.dtype == cleaned.dtype == np.float32
    assert whole.min() >= 0
    for start, stop, step in ((0, 300, 1), (19, 22, 1), (5, 200, 13)):
        np.testing.assert_array_equal(cleaned.frames(start, stop, step), whole[start:stop:step])


def test_frames_that_the_format_calls_broken_are_filled_unasked(scene: Simulated) -> None:
    movie = scene.movie.copy()
    movie[[40, 41, 90]] = 255
    cleaned = clean(replace(recording(scene, movie), corrupt_frames=(40, 41, 90)))
    assert cleaned.filled.tolist() == [40, 41, 90]
    assert cleaned.recording.frames().max() < 255
    np.testing.assert_array_equal(cleaned.recording.frames(42, 90), scene.movie[42:90])
    assert cleaned.notes == ("3 of 300 frames are broken and were filled from their neighbours: 40–41, 90.",)


def test_before_and_after_show_the_same_frame(scene: Simulated) -> None:
    rows = 5 * np.random.default_rng(0).standard_normal((300, 96, 1))
    images = clean(recording(scene, scene.movie + rows), Cleaning(stripes=True, binning=2)).images
    assert {image.shape for image in images.values()} == {(48, 64)}
    assert np.corrcoef(images["frame_before"].ravel(), images["frame_after"].ravel())[0, 1] > 0.8
    assert images["deviation_after"].mean() < images["deviation_before"].mean()

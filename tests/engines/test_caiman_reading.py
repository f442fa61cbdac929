"""Reading CaImAn's files: y is y, signs stay, None is None, NaN is NaN, and what is unknown is said to be."""

import tracemalloc
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.sparse as sp

from miniscope_core import load_caiman, load_result
from miniscope_core.engines.caiman import find_caiman_file, read_caiman, write_result
from miniscope_core.engines.caiman.reading import is_detrended
from miniscope_core.errors import ResultError
from miniscope_core.io import hdf5_look
from tests.caiman_files import (
    CENTERS,
    DATA,
    FRAMES,
    HEIGHT,
    NONE,
    UNITS,
    WIDTH,
    caiman_values,
    courses,
    fortran,
    images,
    rigid_shifts,
    write_caiman,
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "result.hdf5"


# -- axes -----------------------------------------------------------------------------------------------------
def test_footprints_lie_at_their_rows_and_columns(file: Path) -> None:
    read = read_caiman(write_caiman(file))
    pictures = read.footprints.toarray().reshape(UNITS, HEIGHT, WIDTH)
    assert np.allclose(pictures, images())
    assert [np.unravel_index(one.argmax(), one.shape) for one in pictures] == list(CENTERS)


def test_dense_footprints_are_read_as_sparse_ones(file: Path) -> None:
    read = read_caiman(write_caiman(file, A=fortran(images())))
    assert np.allclose(read.footprints.toarray().reshape(UNITS, HEIGHT, WIDTH), images())


def test_background_images_lie_at_their_rows_and_columns(file: Path) -> None:
    rng = np.random.default_rng(0)
    pictures, f = rng.random((2, HEIGHT, WIDTH)), rng.random((2, FRAMES))
    read = read_caiman(write_caiman(file, b=fortran(pictures), f=f))
    assert read.background is not None
    assert np.allclose(read.background, pictures)
    assert read.background_activity is not None
    assert np.allclose(read.background_activity, f)
    neuropil = load_caiman(file).read("neuropil")
    assert np.allclose(neuropil, np.einsum("uyx,kyx,kt->ut", images(), pictures, f), rtol=1e-5)


def test_ring_model_lies_at_its_rows_and_columns_of_the_coarser_grid(file: Path) -> None:
    height, width = 4, 6  # of 7×11, half as fine
    entries = {((0, 5), (2, 4)): 0.25, ((3, 1), (0, 0)): 0.75}
    weights = np.zeros((height * width,) * 2)
    for ((y, x), (other_y, other_x)), value in entries.items():
        weights[x * height + y, other_x * height + other_y] = value
    read = read_caiman(write_caiman(file, W=sp.csc_matrix(weights)))
    assert read.ring_weights is not None
    dense = read.ring_weights.toarray().reshape(height, width, height, width)
    assert {(a, b): dense[(*a, *b)] for a, b in entries} == entries
    assert dense.sum() == 1
    assert read.background_constant is not None
    assert read.background_constant[3, 2] == 2 * HEIGHT + 3


def test_ring_model_of_another_grid_is_left_out(file: Path) -> None:
    read = read_caiman(write_caiman(file, W=sp.csc_matrix(np.eye(5))))
    assert read.ring_weights is None
    assert any("Ring weights left out" in note for note in read.notes)


# -- names ----------------------------------------------------------------------------------------------------
def test_fluorescence_is_trace_plus_residual(file: Path) -> None:
    read = read_caiman(write_caiman(file))
    assert np.allclose(read.fluorescence, courses(1) + courses(3), atol=1e-6)
    assert np.allclose(read.traces, courses(1))
    assert np.allclose(read.activity, courses(2))


def test_f_dff_over_a_background_is_a_change_over_baseline(file: Path) -> None:
    ratio = (courses(1) + courses(3)) / 40
    values = {"b": fortran(np.ones((1, HEIGHT, WIDTH))), "f": np.ones((1, FRAMES)), "F_dff": ratio}
    result = load_caiman(write_caiman(file, **values))
    assert np.allclose(result.read("dff"), ratio)
    assert "detrended" not in result.array_names


@pytest.mark.parametrize("background", [True, False])
def test_f_dff_that_nothing_divided_is_called_detrended(file: Path, background: bool) -> None:
    slow = np.repeat(np.linspace(0, 30, 3), FRAMES // 3)
    some = {"b": fortran(np.ones((1, HEIGHT, WIDTH))), "f": np.ones((1, FRAMES))} if background else {}
    fluorescence = courses(1) * 20 + courses(3) + slow
    result = load_caiman(write_caiman(file, C=courses(1) * 20 + slow, F_dff=fluorescence - slow, **some))
    assert np.allclose(result.read("detrended"), fluorescence - slow, atol=1e-5)
    assert "dff" not in result.array_names
    assert any("only detrended" in note for note in result.info.notes)


def test_many_units_are_judged_by_some_of_them_without_a_copy_of_all() -> None:
    course = np.random.default_rng(0).normal(size=(500, 2000)).astype(np.float32)
    detrended = course - np.float32(3)
    tracemalloc.start()
    assert is_detrended(detrended, course)
    assert not is_detrended(course / 7, course)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * course.nbytes


def test_f_dff_divided_without_a_background_is_left_out(file: Path) -> None:
    empty = {"b": np.zeros((HEIGHT * WIDTH, 0)), "f": np.zeros((0, FRAMES))}
    result = load_caiman(write_caiman(file, F_dff=(courses(1) + courses(3)) / 40, **empty))
    assert not {"dff", "detrended", "background"} & set(result.array_names)
    assert any("F_dff left out" in note for note in result.info.notes)


def test_nan_stays_nan_and_infinity_stays(file: Path) -> None:
    traces = courses(1)
    traces[1, 3] = np.nan
    read = read_caiman(write_caiman(file, C=traces))
    assert np.array_equal(np.isnan(read.traces), np.isnan(traces))
    assert read.snr is not None
    assert np.array_equal(read.snr, np.float32([3.5, np.inf, np.nan]), equal_nan=True)


def test_r_value_that_was_nan_is_nan_again(file: Path) -> None:
    read = read_caiman(write_caiman(file))
    assert np.array_equal(read.r_value, np.float32([0.9, np.nan, 0.5]), equal_nan=True)


def test_residual_and_activity_that_are_not_there_are_nan_with_a_note(file: Path) -> None:
    read = read_caiman(write_caiman(file, YrA=NONE, S=...))
    assert np.isnan(read.fluorescence).all()
    assert np.isnan(read.activity).all()
    assert any("(YrA)" in note for note in read.notes)
    assert any("no S" in note for note in read.notes)


def test_numbers_saved_as_texts_are_numbers(file: Path) -> None:
    assert np.array_equal(read_caiman(write_caiman(file)).baseline, np.float32([1.5, 2.5, np.nan]), equal_nan=True)


def test_decay_time_follows_from_g(file: Path) -> None:
    assert np.allclose(load_caiman(write_caiman(file)).read("decay_time_s"), [0.4, 0.2, np.nan], equal_nan=True)
    a, b = np.exp(-1 / 8), np.exp(-1)  # c[t] = (a + b) c[t-1] - ab c[t-2]
    g = np.array([[a + b, -a * b]] * UNITS)
    assert np.allclose(load_caiman(write_caiman(file, g=g)).read("decay_time_s"), 0.4)


# -- acceptance -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("positions", "accepted"),
    [
        (np.array([2, 0]), [True, False, True]),
        (np.array([], np.int64), [False] * 3),
        (np.array([]), [False] * 3),
        (np.array([1, 1], np.uint8), [False, True, False]),
    ],
)
def test_accepted_are_the_positions(file: Path, positions: Any, accepted: list[bool]) -> None:
    read = read_caiman(write_caiman(file, idx_components=positions))
    assert read.accepted.tolist() == accepted
    assert read.evaluated


@pytest.mark.parametrize("positions", [NONE, ...])
def test_without_evaluation_all_count_as_accepted_and_a_note_says_so(file: Path, positions: Any) -> None:
    read = read_caiman(write_caiman(file, idx_components=positions, SNR_comp=NONE, r_values=NONE, cnn_preds=NONE))
    assert read.accepted.all()
    assert not read.evaluated
    assert (read.snr, read.r_value, read.cnn_pred) == (None, None, None)
    assert any("Not evaluated" in note for note in read.notes)


def test_units_that_were_selected_are_accepted_and_the_others_counted(file: Path) -> None:
    discarded = {"discarded_components/A": sp.csc_matrix((HEIGHT * WIDTH, 4)), "discarded_components/nr": 4}
    read = read_caiman(write_caiman(file, idx_components=NONE, **discarded))
    assert read.accepted.all()
    assert read.evaluated
    assert "Every unit counts as accepted: CaImAn's select_components took 4 others out" in read.notes


def test_what_was_decided_by_hand_comes_after_the_evaluation(file: Path) -> None:
    by_hand = {"accepted_list": np.array([1]), "rejected_list": np.array([2])}
    read = read_caiman(write_caiman(file, idx_components=np.array([2, 0]), **by_hand))
    assert read.accepted.tolist() == [True, True, False]
    assert "By hand, in CaImAn's GUI, 1 units were accepted and 1 rejected" in read.notes
    untouched = {"accepted_list": np.array([]), "rejected_list": np.array([])}
    read = read_caiman(write_caiman(file, idx_components=np.array([2, 0]), **untouched))
    assert read.accepted.tolist() == [True, False, True]
    assert not any("By hand" in note for note in read.notes)
    with pytest.raises(ResultError, match=r"accepted_list at .*expected positions below 3"):
        read_caiman(write_caiman(file, accepted_list=np.array([3]), rejected_list=np.array([])))


@pytest.mark.parametrize("positions", [[3], [-1], [0.5]])
def test_positions_of_no_unit_are_refused(file: Path, positions: list[float]) -> None:
    with pytest.raises(ResultError, match=r"idx_components at .*expected positions below 3"):
        read_caiman(write_caiman(file, idx_components=np.array(positions)))


def test_measures_of_units_that_are_gone_are_left_out(file: Path) -> None:
    read = read_caiman(write_caiman(file, SNR_comp=np.ones(15)))
    assert read.snr is None
    assert any("SNR_comp left out: 15 values for 3 units" in note for note in read.notes)


# -- motion ---------------------------------------------------------------------------------------------------
def piecewise(**changes: Any) -> dict[str, Any]:
    """Shifts of the grid of 2 rows and 3 columns of patches that strides and overlaps give."""
    rng = np.random.default_rng(5)
    values = {"x_shifts_els": 10 + rng.random((FRAMES, 6)), "y_shifts_els": -rng.random((FRAMES, 6))} | changes
    return {f"motion_correction/{name}": value for name, value in values.items()}


def test_rigid_shifts_are_rows_then_columns_and_keep_their_sign(file: Path) -> None:
    read = read_caiman(write_caiman(file, caiman_values() | {"motion_correction/shifts_rig": rigid_shifts()}))
    assert read.shifts_px is not None
    assert np.allclose(read.shifts_px, rigid_shifts())
    assert read.block_shifts_px is None


def test_shifts_of_fit_file_are_read(file: Path) -> None:
    assert np.allclose(load_caiman(write_caiman(file, shifts=rigid_shifts())).shifts_px, rigid_shifts())
    values = piecewise()
    both = np.stack([values["motion_correction/x_shifts_els"], values["motion_correction/y_shifts_els"]])
    read = read_caiman(write_caiman(file, shifts=both))
    assert read.block_shifts_px is not None
    assert np.allclose(read.block_shifts_px[4, :, 0], both[0, :, 4])


def test_piecewise_shifts_are_by_block_and_their_mean(file: Path) -> None:
    values = piecewise()
    dy, dx = values["motion_correction/x_shifts_els"], values["motion_correction/y_shifts_els"]
    result = load_caiman(write_caiman(file, caiman_values() | values))
    blocks = result.read("block_shifts_px")
    assert blocks.shape == (6, FRAMES, 2)
    assert np.allclose(blocks[5], np.stack([dy[:, 5], dx[:, 5]], axis=1))
    assert np.allclose(result.shifts_px, np.stack([dy.mean(axis=1), dx.mean(axis=1)], axis=1))


def test_blocks_lie_on_the_grid_of_strides_and_overlaps(file: Path) -> None:
    ranges = load_caiman(write_caiman(file, caiman_values() | piecewise())).read("block_ranges_px")
    rows, columns = [(0, 4), (3, 7)], [(0, 6), (4, 10), (5, 11)]
    assert ranges.shape == (6, 4)
    assert sorted({(y0, y1) for y0, y1, _, _ in ranges.tolist()}) == [*rows]
    assert sorted({(x0, x1) for _, _, x0, x1 in ranges.tolist()}) == [*columns]


def test_blocks_lie_where_datajoint_says(file: Path) -> None:
    corners = np.array([[0, 5, 2 * n, 2 * n + 3] for n in range(6)])
    corners = np.minimum(corners, [HEIGHT, HEIGHT, WIDTH, WIDTH])
    read = read_caiman(write_caiman(file, caiman_values() | piecewise(coord_shifts_els=corners)))
    assert read.block_ranges_px is not None
    assert read.block_ranges_px.tolist() == corners.tolist()


@pytest.mark.parametrize("coordinates", [NONE, np.full((FRAMES, 6), b"None", "S32"), np.zeros((FRAMES, 6, 2), int)])
def test_coordinates_that_say_nothing_are_replaced_by_the_grid(file: Path, coordinates: Any) -> None:
    read = read_caiman(write_caiman(file, caiman_values() | piecewise(coord_shifts_els=coordinates)))
    assert read.block_ranges_px is not None
    assert read.block_ranges_px[-1].tolist() == [3, 7, 5, 11]


def test_blocks_of_an_unknown_grid_leave_their_mean_and_a_note(file: Path) -> None:
    values = piecewise(x_shifts_els=np.ones((FRAMES, 5)), y_shifts_els=np.zeros((FRAMES, 5)))
    result = load_caiman(write_caiman(file, caiman_values() | values))
    assert np.allclose(result.shifts_px, [1, 0])
    assert "block_shifts_px" not in result.array_names
    assert any("5 blocks" in note for note in result.info.notes)


def test_images_of_datajoint_have_our_names(file: Path) -> None:
    names = {"reference_image": "template", "average_image": "average", "max_image": "max"}
    pictures = dict(zip(names, np.random.default_rng(0).random((3, HEIGHT, WIDTH)), strict=True))
    values = {f"motion_correction/{name}": picture for name, picture in pictures.items()}
    found = load_caiman(write_caiman(file, caiman_values() | values)).images
    assert found.keys() == {"template", "average", "max"}
    for theirs, ours in names.items():
        assert np.allclose(found[ours], pictures[theirs])


def test_shifts_beside_the_result_are_taken_and_named(file: Path) -> None:
    template = np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH)
    np.savez(file.with_name("motion.npz"), shifts_rig=rigid_shifts(), template_rig=template, cpu="1 s")
    (file.parent / "notes.npz").write_text("no zip")
    result = load_caiman(write_caiman(file))
    assert np.allclose(result.shifts_px, rigid_shifts())
    assert np.allclose(result.images["template"], template)
    assert any("motion.npz" in note for note in result.info.notes)


def test_shifts_beside_in_hdf5_are_taken(file: Path) -> None:
    with h5py.File(file.with_name("motion.h5"), "w") as beside:
        for name, value in piecewise().items():
            beside[name] = value
    assert load_caiman(write_caiman(file)).read("block_shifts_px").shape == (6, FRAMES, 2)


def test_shifts_beside_that_may_be_of_another_result_are_not_taken(file: Path) -> None:
    np.savez(file.with_name("motion.npz"), shifts_rig=rigid_shifts())
    write_caiman(file.with_name("other.hdf5"))
    read = read_caiman(write_caiman(file))
    assert read.shifts_px is None
    assert any("may belong to other.hdf5" in note for note in read.notes)


def test_two_files_of_shifts_beside_are_refused_by_name(file: Path) -> None:
    for name in ("one.npz", "two.npz"):
        np.savez(file.with_name(name), shifts_rig=rigid_shifts())
    with pytest.raises(ResultError, match=r"one\.npz and two\.npz, expected one"):
        read_caiman(write_caiman(file))


def test_shifts_that_nobody_knows_are_nan_and_not_zero(file: Path) -> None:
    np.savez(file.with_name("other.npz"), shifts_rig=rigid_shifts()[:-1])  # of another recording
    result = load_caiman(write_caiman(file))
    assert result.shifts_px.shape == (FRAMES, 2)
    assert np.isnan(result.shifts_px).all()
    assert any("Shifts are not known" in note for note in result.info.notes)


@pytest.mark.parametrize("shape", [(FRAMES + 1, 2), (FRAMES, 3), (2, FRAMES)])
def test_shifts_of_another_shape_than_the_traces_are_refused(file: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(ResultError, match=r"shifts_rig at .*expected \(30, 2\)"):
        read_caiman(write_caiman(file, caiman_values() | {"motion_correction/shifts_rig": np.zeros(shape)}))


def test_average_image_is_the_models_where_the_file_has_none(file: Path) -> None:
    result = load_caiman(write_caiman(file))
    b0 = np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH, order="F")
    assert np.allclose(
        result.images["average"], b0 + np.tensordot(courses(1).mean(axis=1), images(), axes=1), atol=1e-4
    )
    assert np.isnan(result.images["template"]).all()
    assert any("template" in note for note in result.info.notes)


# -- layouts --------------------------------------------------------------------------------------------------
def test_flat_layout_of_old_files_is_read(file: Path) -> None:
    values = caiman_values()
    flat = {name.removeprefix("estimates/"): value for name, value in values.items() if not name.startswith("params/")}
    read = read_caiman(write_caiman(file, flat))
    assert np.allclose(read.traces, courses(1))
    assert (read.caiman_version, read.fps, read.parameters) == ("unknown", None, {})
    with pytest.raises(ResultError, match="Pass fps="):
        load_caiman(file)
    assert load_caiman(file, fps=15).fps == 15


def test_texts_that_are_datasets_are_read_like_attributes(file: Path) -> None:
    values = caiman_values(**{"params/data/@caiman_version": ..., "params/data/caiman_version": b"1.8.5"})
    assert read_caiman(write_caiman(file, values)).caiman_version == "1.8.5"


def test_parameters_are_by_group_and_plain(file: Path) -> None:
    parameters = read_caiman(write_caiman(file)).parameters
    assert parameters["data"] == {"caiman_version": "1.12.1", "fr": 20.0, "fnames": ["0.avi", "1.avi"]}
    assert parameters["init"] == {"gSig": [4, 4], "K": None, "ssub_B": 2}
    assert parameters["motion"]["pw_rigid"] is False


def test_result_without_units_is_a_result(file: Path) -> None:
    nothing = {name: np.zeros((0, FRAMES)) for name in ("C", "S", "YrA")}
    lists = {name: np.zeros(0) for name in ("idx_components", "SNR_comp", "r_values", "bl", "neurons_sn")}
    result = load_caiman(
        write_caiman(file, A=sp.csc_matrix((HEIGHT * WIDTH, 0)), g=np.zeros((0, 1)), **nothing, **lists)
    )
    result.check("memory")
    assert (result.unit_count, result.footprints.shape) == (0, (0, HEIGHT * WIDTH))


# -- our own kind of result -----------------------------------------------------------------------------------
def test_loaded_result_is_whole_in_memory_and_in_a_folder(file: Path, tmp_path: Path) -> None:
    write_caiman(file, caiman_values(**{"estimates/cnn_preds": np.array([0.1, 0.2, 0.3])}) | piecewise())
    loaded = load_caiman(file)
    loaded.check("memory")
    clock = np.arange(FRAMES) / 19.9
    written = write_result(
        read_caiman(file), tmp_path / "out", fps=19.9, timestamps_s=clock, timings={"fit": 2.0}, notes=["by hand"]
    )
    again = load_result(tmp_path / "out")
    again.check("folder")
    assert again.info == written.info
    for name in loaded.array_names:
        if name != "decay_time_s":
            assert np.array_equal(loaded.read(name), again.read(name), equal_nan=loaded.read(name).dtype.kind == "f"), (
                name
            )
    assert np.array_equal(again.timestamps_s, clock)
    assert (again.fps, again.timings, again.info.notes[-1]) == (19.9, {"fit": 2.0}, "by hand")
    assert (again.info.package, again.info.package_version, again.info.method) == ("caiman", "1.12.1", "caiman")
    assert np.allclose(again.read("cnn_pred"), [0.1, 0.2, 0.3])


def test_clock_of_the_recording_may_be_given_to_a_loaded_result(file: Path) -> None:
    clock = np.arange(FRAMES) / 19.9
    assert np.array_equal(load_caiman(write_caiman(file), timestamps_s=clock).timestamps_s, clock)
    assert "timestamps_s" not in load_caiman(file).array_names
    with pytest.raises(ResultError, match="got 30 frames, expected 31"):
        load_caiman(file, timestamps_s=np.arange(31))


def test_clock_of_another_recording_is_refused(file: Path, tmp_path: Path) -> None:
    read = read_caiman(write_caiman(file))
    with pytest.raises(ResultError, match="got 30 frames, expected 31"):
        write_result(read, tmp_path / "out", fps=20, timestamps_s=np.arange(31))


# -- which file -----------------------------------------------------------------------------------------------
def test_folder_with_one_result_is_that_result(file: Path) -> None:
    write_caiman(file)
    with h5py.File(file.with_name("movie.h5"), "w") as other:
        other["mov"] = np.zeros(3)
    (file.parent / "._result.hdf5").write_text("left by a desktop")
    assert find_caiman_file(file.parent) == file
    assert load_caiman(str(file.parent)).unit_count == UNITS


def test_two_results_are_refused_by_name(file: Path) -> None:
    write_caiman(file)
    write_caiman(file.with_name("second.h5"))
    with pytest.raises(ResultError, match=r"got result\.hdf5 and second\.h5, expected one file"):
        load_caiman(file.parent)


def test_unreadable_file_beside_a_result_may_be_the_one_meant(file: Path) -> None:
    write_caiman(file)
    file.with_name("cut.hdf5").write_bytes(b"\x89HDF")
    with pytest.raises(ResultError, match=r"got cut\.hdf5 and result\.hdf5"):
        load_caiman(file.parent)


def test_folder_without_result_and_nowhere_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="none of its files"):
        load_caiman(tmp_path)
    with pytest.raises(ResultError, match="no such file or folder"):
        load_caiman(tmp_path / "nowhere")


# -- what is refused ------------------------------------------------------------------------------------------
@pytest.mark.parametrize("changes", [{"dims": np.array([7, 11, 5])}, {"params/motion/is3D": True}])
def test_volume_is_refused(file: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(ResultError, match="got a volume"):
        read_caiman(write_caiman(file, caiman_values(**changes)))


def test_shifts_of_a_volume_are_refused(file: Path) -> None:
    with pytest.raises(ResultError, match="three dimensions"):
        read_caiman(write_caiman(file, caiman_values() | piecewise(z_shifts_els=np.zeros((FRAMES, 6)))))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dims": np.array([7, 12])}, "got 77 pixels, expected 84"),
        ({"dims": np.array([-7, -11])}, "dims"),
        ({"dims": np.array([7.0, 11.0])}, "dims"),
        ({"dims": ...}, "dims missing"),
        ({"estimates/A": NONE}, "did CaImAn find any components"),
        ({"estimates/C": ...}, "no estimates with A and C"),
        ({"estimates/C": NONE}, "got 0 traces, expected 3"),
        ({"estimates/C": np.zeros((2, FRAMES))}, "got 2 traces, expected 3"),
        ({"estimates/C": np.zeros((3, 0))}, "no frames"),
        ({"estimates/C": np.zeros(3)}, "2 axes"),
        ({"estimates/C": np.zeros((3, FRAMES), complex)}, "expected numbers"),
        ({"estimates/YrA": np.zeros((3, FRAMES + 1))}, "YrA at .*as C has"),
        ({"estimates/b": np.zeros((5, 1)), "estimates/f": np.zeros((1, FRAMES))}, "b at "),
    ],
)
def test_parts_that_contradict_each_other_are_refused(file: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ResultError, match=message) as caught:
        read_caiman(write_caiman(file, caiman_values(**changes)))
    assert str(file) in str(caught.value)


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("indices", np.full(9, HEIGHT * WIDTH)),
        ("indices", np.full(9, -1)),
        ("indices", np.zeros(8, int)),
        ("indptr", np.array([0, 3, 2, 9])),
        ("indptr", np.array([0, 3, 9])),
        ("indptr", np.array([0, 3, 6, 2**40])),
        ("shape", np.array([HEIGHT * WIDTH])),
        ("shape", np.array([HEIGHT * WIDTH, -1])),
        ("data", np.array([b"x"] * 9)),
    ],
)
def test_sparse_parts_are_not_trusted(file: Path, part: str, value: Any) -> None:
    write_caiman(file)
    with h5py.File(file, "r+") as open_file:
        del open_file[f"estimates/A/{part}"]
        open_file[f"estimates/A/{part}"] = value
    if part == "data":
        assert np.isnan(read_caiman(file).footprints.data).all()
    else:
        with pytest.raises(ResultError, match="sparse matrix whose parts agree"):
            read_caiman(file)


def test_array_that_claims_more_than_the_file_can_hold_is_refused(file: Path) -> None:
    write_caiman(file, C=...)
    with h5py.File(file, "r+") as open_file:
        open_file.create_dataset("estimates/C", shape=(3, 2**40), chunks=(1, 1024), dtype="f8")
    with pytest.raises(ResultError, match="in a file of this size"):
        read_caiman(file)


def test_values_of_other_files_are_refused(file: Path, tmp_path: Path) -> None:
    write_caiman(tmp_path / "secret.bin")
    write_caiman(file, C=..., S=...)
    with h5py.File(file, "r+") as open_file:
        open_file["estimates/C"] = h5py.ExternalLink("secret.bin", "/estimates/C")
    with pytest.raises(ResultError, match="a link to another file"):
        read_caiman(file)
    write_caiman(file, C=...)
    with h5py.File(file, "r+") as open_file:
        outside = [(str(tmp_path / "secret.bin"), 0, 3 * FRAMES * 8)]
        open_file.create_dataset("estimates/C", shape=(3, FRAMES), dtype="f8", external=outside)
    with pytest.raises(ResultError, match="lie in another file"):
        read_caiman(file)


def test_loop_of_links_is_refused(file: Path) -> None:
    write_caiman(file)
    with h5py.File(file, "r+") as open_file:
        open_file["params/loop"] = open_file["params"]
        del open_file["estimates/S"]
        open_file["estimates/S"] = h5py.SoftLink("/estimates/S")
    with pytest.raises(ResultError, match="Unreadable CaImAn result"):
        read_caiman(file)


def test_file_cut_short_anywhere_gives_one_of_our_errors(file: Path) -> None:
    whole = write_caiman(file).read_bytes()
    for size in range(0, len(whole), max(1, len(whole) // 12)):
        file.write_bytes(whole[:size])
        with pytest.raises(ResultError, match="CaImAn result"):
            read_caiman(file)


def test_damaged_bytes_give_a_result_or_one_of_our_errors(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5_look, "PATIENCE_S", 5.0)
    whole = write_caiman(file).read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(15):
        damaged = bytearray(whole)
        for position in rng.integers(0, len(whole), 20):
            damaged[position] = int(rng.integers(0, 256))
        file.write_bytes(damaged)
        try:
            read_caiman(file)
        except ResultError:
            continue


# -- files that CaImAn wrote ----------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["one_photon_fit_file", "one_photon_piecewise", "two_photon_rigid"])
def test_real_file_is_a_whole_result(name: str) -> None:
    result = load_caiman(DATA / f"{name}.hdf5")
    result.check(name)
    assert result.info.package_version == "1.12.1"
    assert np.isfinite(result.shifts_px).all()
    assert np.abs(result.shifts_px).max() > 1
    assert np.allclose(result.footprints.multiply(result.footprints).sum(axis=1), 1, atol=1e-4)
    assert np.corrcoef(result.fluorescence[0], result.traces[0])[0, 1] > 0.7


@pytest.mark.parametrize("name", ["one_photon_piecewise", "two_photon_rigid"])
def test_real_footprints_lie_where_the_movie_changes(name: str) -> None:
    result = load_caiman(DATA / f"{name}.hdf5")
    change = result.images["max"] - result.images["average"]
    height, width = result.shape
    pictures = result.footprints.toarray().reshape(-1, height, width)
    inside = np.average(np.broadcast_to(change, pictures.shape), weights=pictures)
    assert inside > 1.15 * change.mean()
    exchanged = pictures.reshape(-1, width, height).transpose(0, 2, 1)
    assert np.average(np.broadcast_to(change, exchanged.shape), weights=exchanged) < inside - 0.1 * change.mean()


def test_real_files_have_what_their_analysis_gave_them() -> None:
    one, two = load_caiman(DATA / "one_photon_piecewise.hdf5"), load_caiman(DATA / "two_photon_rigid.hdf5")
    assert one.read("block_shifts_px").shape == (9, 300, 2)
    assert one.read("block_ranges_px")[5].tolist() == [24, 60, 32, 64]
    assert not {"dff", "detrended", "background", "cnn_pred"} & set(one.array_names)
    assert two.read("background").shape == (2, 80, 64)
    assert 0 < np.median(two.read("dff").max(axis=1)) < 1
    # The ring of the background model is 12 to 13 px of its coarser grid away, whatever the direction.
    weights = read_caiman(DATA / "one_photon_piecewise.hdf5").ring_weights
    assert weights is not None
    entries = sp.coo_array(weights)
    pixel, other = (np.stack(np.unravel_index(index, (40, 32))) for index in entries.coords)
    distance = np.hypot(*(pixel - other))
    assert 12 <= distance.min() <= distance.max() <= 13

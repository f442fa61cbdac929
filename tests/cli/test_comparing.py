"""``compare``: two results by key, folder or CaImAn file, in a table and a picture."""

from pathlib import Path

import pytest

from miniscope_core.engines.caiman import read_caiman, write_result
from tests.caiman_files import DATA, write_caiman
from tests.cli.conftest import MiniscopeProgram

ONE, TWO = DATA / "one_photon_piecewise.hdf5", DATA / "two_photon_rigid.hdf5"


def test_two_results_are_compared_in_a_table_and_a_picture(miniscope: MiniscopeProgram, tmp_path: Path) -> None:
    folder = tmp_path / "ours"
    write_result(read_caiman(TWO), folder, fps=20)
    seen = miniscope("compare", ONE, folder, "--picture", tmp_path / "both.png")
    assert seen.status == 0, seen.err
    for line in ("found by both     4", "only by caiman 1  0 of 4", "only by caiman 2  0 of 4", "besides a constant"):
        assert line in seen.out
    assert (tmp_path / "both.png").read_bytes().startswith(b"\x89PNG")


def test_result_without_shifts_is_compared_without_them(miniscope: MiniscopeProgram, tmp_path: Path) -> None:
    file = write_caiman(tmp_path / "result.hdf5")
    seen = miniscope("compare", file, file, "--all", "--picture", tmp_path / "both.png")
    assert seen.status == 0, seen.err
    assert "found by both     3" in seen.out
    assert "not known on both sides" in seen.out


@pytest.mark.parametrize(
    ("second", "message"),
    [(DATA / "one_photon_fit_file.hdf5", "Are both of the same recording?"), (DATA, "expected one file")],
)
def test_what_cannot_be_compared_is_refused_in_one_line(
    miniscope: MiniscopeProgram, tmp_path: Path, second: Path, message: str
) -> None:
    seen = miniscope("compare", ONE, second, "--picture", tmp_path / "both.png")
    assert seen.status == 1
    assert message in seen.err
    assert not (tmp_path / "both.png").exists()


def test_key_of_nothing_is_refused(miniscope: MiniscopeProgram, tmp_path: Path) -> None:
    seen = miniscope("compare", ONE, "subject1/2021-01-01T00:00:01/0/0", "--picture", tmp_path / "both.png")
    assert seen.status == 1
    assert "Traceback" not in seen.err

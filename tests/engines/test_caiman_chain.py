"""What a Python has of CaImAn, asked without importing anything there."""

from pathlib import Path

import pytest

from miniscope_core.engines.caiman.chain import examine
from miniscope_core.errors import EngineError
from tests.engines.caiman_standin import ANSWER, make_standin


@pytest.mark.parametrize(
    ("release", "refused"),
    [
        ("1.11.4", ["numpy", "scipy", "setuptools", "pkg_resources"]),
        ("1.12.1", ["numpy", "scipy", "setuptools", "pkg_resources"]),
        ("1.12.2", ["numpy"]),
        ("1.13.0", ["numpy"]),
        ("1.13.1", []),
        ("1.14.0.dev0", []),
    ],
)
def test_bounds_hold_only_for_releases_that_need_them(tmp_path: Path, release: str, refused: list[str]) -> None:
    newest = {**ANSWER["versions"], "caiman": release, "numpy": "2.4.6", "scipy": "1.17.1", "setuptools": "84.2.1"}
    modules = {**ANSWER["modules"], "pkg_resources": False}
    chain = examine(make_standin(tmp_path, "", versions=newest, modules=modules))
    assert [problem.split("got ")[1].removeprefix("no ").split(" ")[0].rstrip(",") for problem in chain.problems] == (
        refused
    )
    assert chain.describe().startswith(f"CaImAn {release} at ")


def test_headless_opencv_is_noted_and_refuses_nothing(tmp_path: Path) -> None:
    chain = examine(make_standin(tmp_path, "", versions={**ANSWER["versions"], "opencv-python-headless": "4.11"}))
    chain.refuse()
    assert "headless" in chain.describe()


@pytest.mark.parametrize("python", ["/nowhere/python", "/bin/false", "/bin/echo"])
def test_setting_that_is_no_python_is_one_clear_error(python: str) -> None:
    with pytest.raises(EngineError, match=f"Python for CaImAn at {python}: .* expected an interpreter that runs"):
        examine(python)


def test_running_python_is_examined_where_none_is_named() -> None:
    chain = examine("")
    assert "numpy" in chain.versions

"""What a Python has of CaImAn, asked without importing anything there."""

from pathlib import Path

import pytest

from miniscope_core.engines.caiman.chain import examine
from miniscope_core.errors import EngineError
from tests.engines.caiman_standin import ANSWER, make_standin


def test_bounds_hold_only_for_releases_that_need_them(tmp_path: Path) -> None:
    newer = {**ANSWER["versions"], "caiman": "1.14.0", "numpy": "2.1.0", "scipy": "1.17.0"}
    chain = examine(make_standin(tmp_path, "", versions=newer))
    chain.refuse()
    assert chain.describe().startswith("CaImAn 1.14.0 at ")


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

"""Writing figures: whole files only, the same bytes for the same figure, small enough to embed."""

import io
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from miniscope_core.plots import plot_average_image, plot_summary_images, png_bytes, save_png


def test_png_has_content_of_the_figure_size() -> None:
    content = png_bytes(plot_average_image(np.random.default_rng(0).random((40, 60))))
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", content[16:24])[0] == 832
    with Image.open(io.BytesIO(content)) as picture:
        assert len(picture.convert("RGB").getcolors(2**24) or []) > 50


def test_figures_of_the_same_arrays_give_the_same_bytes() -> None:
    image = np.random.default_rng(0).random((40, 60))
    assert png_bytes(plot_average_image(image)) == png_bytes(plot_average_image(image))


def test_noisy_pictures_stay_small_enough_to_embed() -> None:
    rng = np.random.default_rng(0)
    content = png_bytes(plot_summary_images({name: rng.random((300, 300)) for name in ("average", "max", "pnr")}))
    assert 10_000 < len(content) < 800_000
    with Image.open(io.BytesIO(content)) as picture:
        assert picture.mode == "P"


def test_saving_makes_the_folder_and_replaces_the_older_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "average.png"
    assert save_png(plot_average_image(np.eye(20)), path) == path
    save_png(plot_average_image(np.eye(30)), path)
    assert path.read_bytes() == png_bytes(plot_average_image(np.eye(30)))
    assert path.stat().st_mode & 0o044 == 0o044
    assert list(path.parent.iterdir()) == [path]


def test_failed_write_leaves_the_older_file_and_no_scraps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "average.png"
    path.write_bytes(b"old")

    def full(source: object, target: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("miniscope_core.plots.figures.os.replace", full)
    with pytest.raises(OSError, match="No space left"):
        save_png(plot_average_image(np.eye(20)), path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_plots_never_import_pyplot() -> None:
    """Importing pyplot picks a backend for the whole process, and its figures are never freed."""
    code = "import sys, miniscope_core.plots; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", ["a$x^$b", r"$\foo$", "50 % $"])
def test_a_name_with_dollars_is_no_formula(name: str) -> None:
    assert png_bytes(plot_average_image(np.ones((8, 9)), title=name)).startswith(b"\x89PNG")

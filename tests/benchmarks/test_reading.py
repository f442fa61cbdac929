"""The command that measures reading runs through and prints a line for every codec."""

import pytest

from tests.benchmarks.reading import CODECS, main


def test_every_codec_and_division_into_files_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--frames", "12", "--size", "32", "--repeats", "1", "--workers", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(",")[0] for line in lines] == [codec for codec in CODECS for _ in range(2)]
    assert all("open by 2" in line and "read by 2" in line for line in lines)

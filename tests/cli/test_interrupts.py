"""Ctrl-C ends a program that hangs in its clean-up, and does not cut a clean-up that ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.engines.caiman_standin import make_standin
from tests.simulation import simulate

PROGRAM = """
import signal, sys, time
from miniscope_core.cli.interrupts import ends_on_interrupt
with ends_on_interrupt(grace_s=0.5):
    try:
        print("ready", flush=True)
        time.sleep(60)
    finally:
        time.sleep({clean_up})
        print("clean", flush=True)
"""


@pytest.mark.parametrize(("clean_up", "printed"), [(60, ""), (0, "clean\n")])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_in_time_and_lets_clean_up_happen(
    number: signal.Signals, clean_up: float, printed: str
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(clean_up=clean_up)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "ready\n"
        sent = time.monotonic()
        program.send_signal(number)
        out, err = program.communicate(timeout=30)
    assert time.monotonic() - sent < 20
    assert out == printed
    assert err.startswith("Interrupted.")
    if clean_up:
        assert program.returncode == 128 + number


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_engine_alone_that_is_interrupted_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    folder = simulate(frame_count=120, cell_count=2).write_v4(tmp_path / "session")
    (tmp_path / "caiman").mkdir()
    python = make_standin(tmp_path / "caiman", "print('hanging', flush=True); time.sleep(60)")
    command = [sys.executable, "-c", "from miniscope_core.cli import main; main()", "process", str(folder)]
    program = subprocess.Popen(
        [*command, "--method", "caiman", "--output", str(tmp_path / "out")],
        env={**os.environ, "MINISCOPE_CAIMAN_PYTHON": python, "MINISCOPE_HOME": str(tmp_path / "home")},
        stderr=subprocess.PIPE,
        text=True,
    )
    with program:
        while not (tmp_path / "caiman" / "notes.json").exists():
            assert program.poll() is None
            time.sleep(0.05)
        program.send_signal(number)
        _, said = program.communicate(timeout=60)
    assert program.returncode != 0
    assert "Interrupted." in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["caiman", "session"]

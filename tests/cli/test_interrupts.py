"""Ctrl-C ends a program that hangs in its clean-up, and does not cut a clean-up that ends."""

import signal
import subprocess
import sys
import time

import pytest

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

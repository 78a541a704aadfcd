"""Forty minutes of `python -m tests.soak --simulated 24h`."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.e2e.servers import ROOT

pytestmark = pytest.mark.e2e


def test_forty_simulated_minutes_of_all_troubles_at_once() -> None:
    command = [sys.executable, "-m", "tests.soak", "--simulated=40m", "--seed=12"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr

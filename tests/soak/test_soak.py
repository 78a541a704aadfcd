"""A minute of `make soak`."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.e2e.servers import ROOT

pytestmark = [pytest.mark.live, pytest.mark.usefixtures("require_root_bpf")]


def test_a_minute_of_all_troubles_at_once() -> None:
    command = [sys.executable, "-m", "tests.soak", "--seconds=50", "--seed=12"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr

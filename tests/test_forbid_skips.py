"""FORBID_SKIPS=1 turns skips into failures, but for those for want of hardware."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SUITE = """
import pytest
from tests.programs import ProgramMissing

@pytest.mark.live
def test_live():
    pytest.skip("needs a kernel")

@pytest.mark.e2e
@pytest.mark.skipif(True, reason="needs a server")
def test_e2e():
    pass

@pytest.mark.live
def test_hardware(require_gear):
    pass

@pytest.fixture
def require_gear():
    pytest.skip("hardware: no PMU")

def test_other():
    raise ProgramMissing("needs a program")

@pytest.mark.live
@pytest.mark.xfail(reason="known")
def test_known():
    assert False
"""


@pytest.mark.parametrize(
    ("forbid", "closing"), [("0", "4 skipped, 1 xfailed"), ("1", "2 failed, 1 skipped, 1 xfailed, 1 error")]
)
def test_a_skip_is_a_failure_where_the_machine_can(tmp_path, forbid, closing):
    (tmp_path / "test_suite.py").write_text(SUITE)
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(tmp_path), str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "FORBID_SKIPS": forbid},
        capture_output=True,
        text=True,
    )
    assert closing in done.stdout.splitlines()[-1], done.stdout + done.stderr
    assert "needs a kernel" in done.stdout
    assert "needs a server" in done.stdout
    assert "needs a program" in done.stdout

"""Nothing that a run of the tests started, mounted or pinned outlives it, also when it is killed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.live.sandbox import CGROUPFS, RUNS

pytestmark = [pytest.mark.live, pytest.mark.usefixtures("require_root_bpf")]

ROOT = Path(__file__).resolve().parents[1]
SUITE = """
import os
import subprocess
import time
from pathlib import Path
import pytest
from tests.e2e.servers import Podjoule
from tests.live.sandbox import BUSY, cgroup, mounted_bpffs

@pytest.mark.live
def test_that_is_killed(tmp_path):
    with cgroup("kept") as group, mounted_bpffs(tmp_path / "bpf") as mount:
        group.python(BUSY)
        with Podjoule(f"--ebpf.pin={mount}/podjoule", log=tmp_path / "log"):
            assert list((mount / "podjoule").iterdir())
            Path("REPORT").write_text("up")
            time.sleep(120)

@pytest.mark.live
def test_that_forgets():
    subprocess.Popen(["sleep", "120"], start_new_session=True)

def test_that_lets_go(tmp_path):
    os.posix_spawn("/bin/sleep", ["sleep", "121"], os.environ, setsid=True)
"""


def start(folder: Path, test: str) -> subprocess.Popen[str]:
    """That test in a pytest of its own; the file REPORT is there once it is at its work."""
    (folder / "test_suite.py").write_text(SUITE.replace("REPORT", str(folder / "report")))
    plugins = ["-p", "tests.conftest", "-p", "no:cacheprovider", "-W", "default"]
    places = ["-c", str(ROOT / "pyproject.toml"), f"--rootdir={folder}", f"--basetemp={folder}/inner"]
    command = [sys.executable, "-m", "pytest", *plugins, *places]
    return subprocess.Popen(
        [*command, str(folder / "test_suite.py"), "-k", test], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )


def commands_below(folder: Path) -> list[str]:
    """The commands of processes that have to do with a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes().decode(errors="replace").replace("\0", " "))
        except OSError:
            continue  # it has ended
    return [command for command in found if str(folder / "inner") in command]


def left_of(folder: Path, cgroups: set[str]) -> list[str]:
    mounts = [line for line in Path("/proc/mounts").read_text().splitlines() if str(folder) in line]
    return [*commands_below(folder), *mounts, *(kept() - cgroups)]


def kept() -> set[str]:
    return {str(path) for path in CGROUPFS.glob("**/podjoule-test-*-kept")}


def test_kill_9_of_a_run_leaves_nothing(tmp_path: Path) -> None:
    before = kept()
    with start(tmp_path, "killed") as run:
        deadline = time.monotonic() + 90
        while not (tmp_path / "report").exists():
            assert run.poll() is None, run.stdout
            assert time.monotonic() < deadline
            time.sleep(0.1)
        there = left_of(tmp_path, before)
        assert any("exporter.commands.cli run" in each for each in there)
        assert any(" bpf " in each for each in there)
        assert any(each.endswith("-kept") for each in there)
        run.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 30
    while (left := left_of(tmp_path, before)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left == []


def test_a_test_that_leaves_a_process_fails_and_the_process_ends(tmp_path: Path) -> None:
    with start(tmp_path, "forgets") as run:
        told, _ = run.communicate()
    assert run.returncode == 1
    assert "the test left running" in told
    assert "LEFT BEHIND" not in told


def test_a_run_that_leaves_a_process_fails_and_the_process_ends(tmp_path: Path) -> None:
    with start(tmp_path, "lets_go") as run:
        told, _ = run.communicate()
    assert run.returncode == 1
    (pid,) = re.findall(r"LEFT BEHIND: process (\d+): sleep 121", told)
    deadline = time.monotonic() + 30
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not Path(f"/proc/{pid}").exists()


def test_what_tests_start_knows_the_run() -> None:
    assert os.environ[RUNS]

"""What is given back to the machine, and that all goes on after it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from exporter.tick.heap import Thrift, let_go_of_code
from tests.e2e.servers import ROOT

# Resident kilobytes of files before, right after, and once everything has been used again.
_LET_GO = """
import numpy, ssl
from exporter.tick.heap import let_go_of_code

def resident(kind="RssFile:"):
    lines = open("/proc/self/status").read().splitlines()
    return int(next(line for line in lines if line.startswith(kind)).split()[1])

def work():
    a = numpy.arange(10_000.0).reshape(100, 100)
    return float((a @ a.T).trace()), len(ssl.create_default_context().get_ciphers()) > 0

ours, before, done = resident("RssAnon:"), resident(), work()
let_go_of_code()
after = resident()
assert work() == done, "what was unmapped did not come back"
print(before, after, ours, resident("RssAnon:"))
"""


def test_code_is_let_go_of_and_comes_back_when_it_is_used() -> None:
    done = subprocess.run([sys.executable, "-c", _LET_GO], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    before, after, ours, ours_after = map(int, done.stdout.split())
    assert after < before / 2
    assert ours_after > ours - 200, "memory that is in no file was let go of"


def test_without_smaps_nothing_is_let_go_of(tmp_path: Path) -> None:
    let_go_of_code(tmp_path / "none")


def test_what_comes_before_a_tick_comes_before_every_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    for name in ("trim_heap", "spare_what_stays", "let_go_of_code"):
        monkeypatch.setattr(f"exporter.tick.heap.{name}", lambda *_, name=name: done.append(name))
    thrift = Thrift(lambda: done.append("."), tmp_path / "none")
    for _ in range(56):
        thrift()
    dozen = 12 * "."
    assert "".join(each[0] for each in done) == 6 * "." + "tsl" + 3 * (dozen + "t") + dozen + "tl" + ".."

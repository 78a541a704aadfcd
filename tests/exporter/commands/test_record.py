"""`podjoule record` as a process: what is on the disk when it is killed, and when it is told to end."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ebpf.errors import UsageError
from exporter.commands.record import parse_bytes
from tests.e2e.servers import ROOT
from tests.exporter.recording.recordings import hours, names, rows, size


@pytest.mark.parametrize(("text", "n"), [("500", 500), ("2k", 2000), ("500M", 500_000_000), ("2Gi", 2**31)])
def test_bytes(text: str, n: int) -> None:
    assert parse_bytes(text) == n


@pytest.mark.parametrize("text", ["", "0", "-1", "1.5G", "many", "5 M"])
def test_what_is_no_number_of_bytes_is_wrong_usage(text: str) -> None:
    with pytest.raises(UsageError, match="--max-bytes"):
        parse_bytes(text)


FAST = """
import sys, time
real, begin = time.time, time.time()
time.time = lambda: begin + 60 * (real() - begin)
from exporter.commands.cli import main
sys.exit(main(sys.argv[1:]))
"""


def start(directory: Path, *arguments: str) -> subprocess.Popen[str]:
    """A real recorder whose minutes last a second."""
    return subprocess.Popen(
        [
            sys.executable,
            "-c",
            FAST,
            "record",
            f"--output={directory}",
            "--monitor.interval=100ms",
            "--ebpf.loader=none",
            *arguments,
        ],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_minutes(process: subprocess.Popen[str], directory: Path, n: int) -> None:
    for _ in range(300):
        assert process.poll() is None, process.communicate()[1]
        if len(list(directory.glob("samples-*-*.*Z.parquet"))) >= n:
            return
        time.sleep(0.1)
    raise AssertionError(f"no {n} minutes: {names(directory)}")


def test_a_kill_loses_at_most_the_current_minute(tmp_path: Path) -> None:
    directory = tmp_path / "tape"
    process = start(directory)
    began = time.time()
    wait_for_minutes(process, directory, 3)
    time.sleep(0.7)
    process.kill()
    process.communicate()
    killed = began + 60 * (time.time() - began)
    times = [row["timestamp_seconds"] for row in rows(directory, "samples")]
    assert times == sorted(set(times))
    # Ticks are 6 s apart on this clock; the machine may be slow to start and to write.
    assert killed - times[-1] < 60 + 30
    assert {row["timestamp_seconds"] for row in rows(directory, "workloads")} >= set(times)
    for path in directory.glob("*.parquet"):
        pq.read_table(path)

    again = start(directory, "--duration=1s")
    _, log = again.communicate(timeout=30)
    assert again.returncode == 0, log
    after = [row["timestamp_seconds"] for row in rows(directory, "samples")]
    assert set(times) < set(after)
    assert len(after) == len(set(after))
    assert all(len(name.split("Z")[0]) == len("2026-11-21T14") for name in hours(directory))


def test_a_signal_ends_it_with_everything_on_disk(tmp_path: Path) -> None:
    directory = tmp_path / "tape"
    process = start(directory, "--max-bytes=2M")
    wait_for_minutes(process, directory, 2)
    process.send_signal(signal.SIGTERM)
    _, log = process.communicate(timeout=20)
    assert process.returncode == 0, log
    assert "Traceback" not in log
    found = rows(directory, "samples")
    measured = sum(row["interval_seconds"] for row in found[1:])
    span = (found[-1]["timestamp_seconds"] - found[0]["timestamp_seconds"]) / 60
    assert measured == pytest.approx(span, abs=0.2), "no tick is lacking"
    assert size(directory) <= 2_000_000


WITHOUT_PYARROW = """
import sys
sys.modules["pyarrow"] = None
from exporter.commands.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("arguments", [("record", "--output=x"), ("replay", "x")])
def test_without_pyarrow_the_mend_is_named(arguments: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_PYARROW, *arguments], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "pip install podjoule[train]" in done.stderr
    assert "Traceback" not in done.stderr

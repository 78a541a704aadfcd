"""A machine with RAPL and nothing else imports none of what others need, and starts no thread for it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.e2e.servers import ROOT
from tests.estimator.meters.rapl_tree import RaplTree

# Measures twice as `run` does, on the machine whose sysfs is named; the modules that came, then the threads.
_MEASURE = """
import sys, threading
from dataclasses import replace
from pathlib import Path
from exporter.commands import run
from exporter.configuration.config import Config
from exporter.configuration.option_tree import Ebpf, Host, Kube
from exporter.guests.opening import open_guests
from exporter.tick.assembly import assemble

sysfs = Path(sys.argv[1])
config = replace(Config(), host=Host(sysfs), ebpf=Ebpf(loader="none"), kube=Kube("n1", enabled="false"))
measurement = assemble(config, guests=open_guests(config))
measurement.advance()
measurement.advance()
assert measurement.power.source.info.source == "rapl", measurement.power.source.info
print(*sys.modules)
print(*(thread.name for thread in threading.enumerate()))
measurement.close()
"""
# By who needs them: GPUs, devices of pods, BMCs, hosts of guests, guests, Kubernetes, pushes, training.
EXTRAS = {
    *("pynvml", "amdsmi", "h2", "hpack", "hyperframe", "kubernetes", "urllib3", "yaml", "opentelemetry"),
    *("requests", "pandas", "pyarrow", "sklearn", "scipy", "matplotlib", "textual", "ibis", "duckdb"),
}
# Half a megabyte to two each, of the standard library and others, for what `run` does otherwise.
HEAVY = {
    "html.entities",
    *("prometheus_client", "http.server", "socketserver", "wsgiref", "urllib.request", "curses", "zipfile"),
    *("tempfile", "shutil", "bz2", "lzma", "importlib.resources", "importlib.metadata", "numpy.random"),
    *(
        "numpy.ma",
        "numpy.fft",
        "numpy.polynomial",
        "multiprocessing",
        "unittest",
        "xml",
        "sqlite3",
        "decimal",
    ),
}
OWN = {
    *("exporter.guests.shares", "exporter.guests.tree", "exporter.guests.emulators", "exporter.bmc.session"),
    *("exporter.bmc.meter", "exporter.names.devices.pod_resources", "estimator.meters.host_tree"),
    *("estimator.meters.ipmi", "estimator.meters.hwmon", "estimator.gpu.meter", "estimator.gpu.nvml"),
}


# What does ask over HTTP, as Kubernetes is asked.
_ASK = """
import sys
from exporter.http_client import open_manager
open_manager("https://127.0.0.1:1")
print(*sys.modules)
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> list[list[str]]:
    tree = RaplTree.two_sockets(tmp_path_factory.mktemp("machine") / "sys")
    online = tree.root / "devices/system/cpu/online"
    online.parent.mkdir(parents=True)
    online.write_text("0-3\n")
    return _told(_MEASURE, str(tree.root))


def _told(program: str, *arguments: str) -> list[list[str]]:
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return [line.split(" ") for line in done.stdout.splitlines()]


def test_no_extra_is_imported(told: list[list[str]]) -> None:
    assert not EXTRAS & {name.partition(".")[0] for name in told[0]}


def test_nothing_heavy_is_that_run_can_do_without(told: list[list[str]]) -> None:
    assert sorted(HEAVY & set(told[0])) == []


def test_nothing_heavy_is_that_asking_over_http_can_do_without() -> None:
    needed = {"http.client", "urllib3"}
    loaded = set(_told(_ASK)[0])
    assert needed <= loaded
    assert sorted(HEAVY & loaded) == []


def test_no_room_of_another_machines_is(told: list[list[str]]) -> None:
    assert all((ROOT / f"{name.replace('.', '/')}.py").exists() for name in OWN), "a name is not up to date"
    assert not OWN & set(told[0])


def test_nothing_is_read_in_a_thread(told: list[list[str]]) -> None:
    assert told[1] == ["MainThread"]

"""`podjoule run` over the plant's power PMU and hwmon chips, a restart in the middle: its sums and the truth.

Two run side by side, each on meters of its own, so that neither reads what the other is measured by.
"""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.servers import Podjoule, after_another_tick
from tests.live.rights import confined
from tests.live.sandbox import cgroup, stop
from tests.vm.probe_exporter import INTERVAL_SECONDS, READ, at_rest, books, plant, wait_until_ready

_LOAD_SECONDS = 29
# Beneath whatever else runs, which then changes nothing: what an emulated reader is late for is not missed.
_BOTH_CPUS = "import os\nos.nice(10)\nos.fork()\nwhile True: pass"
_SLOW_SECONDS = 60
_WRAP_AFTER_MJ = 4_000_000
# As a server's, which draws most of it idle: an emulated reader of power may be late by most of a second.
_IDLE_MW, _ACTIVE_MW = 40_000, 10_000
_PARAMETERS = READ.parent
# hwmon does not say what the chip measures, nor where its counter begins anew.
_RULE = json.dumps(
    {"name": "energy_plant", "zones": {"Esocket*": "package"}, "maxEnergyMicrojoules": 65_712_999_613}
)


@dataclass
class _Run:
    """One podjoule, twice: its arguments, and by zone the parameter with what was drawn when it read.

    drawn, books: what that said and what was exported, look by look, in joules.
    """

    arguments: tuple[str, ...]
    read: dict[str, Path]
    drawn: list[dict[str, float]] = field(default_factory=list)
    books: list[dict[str, dict[str, float]]] = field(default_factory=list)
    page: str = ""

    def look(self, podjoule: Podjoule) -> None:
        self.page, drawn = at_rest(podjoule, *self.read.values())
        self.drawn.append(dict(zip(self.read, drawn, strict=True)))
        self.books.append({zone: books(self.page, zone) for zone in self.read})

    def finding(self) -> dict[str, object]:
        return {
            "drawn": {zone: [each[zone] for each in self.drawn] for zone in self.read},
            "exported": {zone: [each[zone]["total"] for each in self.books] for zone in self.read},
            "books": self.books[-1],
            "source": re.findall(r"^podjoule_power_source_info\{.*$", self.page, re.MULTILINE),
            "disagreement": re.findall(r"^podjoule_meter_disagreement_ratio\{.*$", self.page, re.MULTILINE),
        }


def meters() -> dict[str, object]:
    """perf before powercap, and hwmon alone: quiet, load, quiet; once more after a restart."""
    plant(_WRAP_AFTER_MJ, _IDLE_MW, _ACTIVE_MW)
    perf = _Run(("--meters.preferred=perf,rapl",), {"package": _PARAMETERS / "pmu_read_uj"})
    hwmon = _Run(
        ("--meters.preferred=hwmon", f"--hwmon.chip-rules={_RULE}"),
        {"package": _PARAMETERS / "hwmon_read_uj", "platform": _PARAMETERS / "power_read_uj"},
    )
    with tempfile.TemporaryDirectory() as folder:
        seconds = sum(_watch([perf, hwmon], Path(folder)) for _ in range(2))
    return {
        "window_seconds": seconds,
        "wraps_after": _WRAP_AFTER_MJ / 1e3,
        "perf": perf.finding(),
        "hwmon": hwmon.finding(),
        "doctor": _doctor(),
    }


def _watch(runs: Sequence[_Run], folder: Path) -> float:
    """What each says before a load and after it, when it is quiet: a moment makes no difference then.

    The answer is the seconds between, at least.
    """
    with contextlib.ExitStack() as stack:
        at_work = [_start(run, folder / str(number), stack) for number, run in enumerate(runs)]
        for podjoule in at_work:
            wait_until_ready(podjoule)
        for podjoule in at_work:
            _wait_for_ticks(podjoule)
        _look(runs, at_work)
        began = time.monotonic()
        with cgroup("load") as group:
            process = group.python(_BOTH_CPUS)
            time.sleep(_LOAD_SECONDS)
            stop(process)
        time.sleep(INTERVAL_SECONDS / 2)
        seconds = time.monotonic() - began
        _look(runs, at_work)
        return seconds


def _look(runs: Sequence[_Run], at_work: Sequence[Podjoule]) -> None:
    with ThreadPoolExecutor() as together:
        list(together.map(_Run.look, runs, at_work))


def _start(run: _Run, state: Path, stack: contextlib.ExitStack) -> Podjoule:
    # Nobody asks for cgroups here, so that BPF need not be attached in emulation.
    options = ("--ebpf.loader=none", f"--state.dir={state}", f"--monitor.interval={INTERVAL_SECONDS}s")
    podjoule = Podjoule(*options, *run.arguments, log=state.with_suffix(".log"))
    stack.callback(podjoule.stop)
    return podjoule


def _wait_for_ticks(podjoule: Podjoule) -> None:
    try:
        after_another_tick(f"{podjoule.url}/metrics", _SLOW_SECONDS)
    except TimeoutError as error:
        raise TimeoutError(f"{error}\n{podjoule.log.read_text()}") from error


def _doctor() -> dict[str, object]:
    """What it says of the meters to a root that has CAP_PERFMON and not CAP_SYS_ADMIN."""
    command = [*confined(["bpf", "perfmon"]), sys.executable, "-m", "exporter.commands.cli"]
    done = subprocess.run([*command, "doctor", "--format=json"], capture_output=True, text=True, check=False)
    paranoid = Path("/proc/sys/kernel/perf_event_paranoid").read_text()
    return {"checks": json.loads(done.stdout)["checks"], "perf_event_paranoid": int(paranoid)}

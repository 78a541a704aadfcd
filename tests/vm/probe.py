"""Run inside a machine of ./kit: tries everything there once and prints each finding as a line of JSON.

argv: the probes to run. A probe that fails prints its traceback as its finding; the others go on.
"""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict

from exporter.configuration.config import Config
from exporter.doctor.doctor import examine
from exporter.doctor.finding import Machine
from tests.live.rights import confined
from tests.vm import (
    probe_board,
    probe_counters,
    probe_exporter,
    probe_guest,
    probe_image,
    probe_interrupts,
    probe_meters,
    probe_pids,
    probe_sharing,
)
from tests.vm.leftovers import left_after

MARK = "probe: "
LONGEST_SECONDS = 300

Finding = dict[str, object]


def machine() -> Finding:
    return {"release": platform.release(), "machine": platform.machine(), "cpus": os.cpu_count()}


def doctor() -> Finding:
    checks = examine(Machine(environ=os.environ), Config())
    return {check.name: asdict(check) for check in checks}


def confined_doctor() -> Finding:
    """What it says to a root that has only what programs take since 5.11."""
    command = [
        *confined(["bpf", "perfmon"]),
        sys.executable,
        "-m",
        "exporter.commands.cli",
        "doctor",
        "--format=json",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return {check["name"]: check for check in json.loads(done.stdout)["checks"]}


PROBES: dict[str, Callable[[], Finding]] = {
    "machine": machine,
    "doctor": doctor,
    "confined-doctor": confined_doctor,
    "core": lambda: probe_counters.counting(["core"]),
    "core-and-bcc": lambda: probe_counters.counting(["core", "bcc"]),
    "short-lived": probe_counters.short_lived,
    "lesser": probe_counters.lesser,
    "events": probe_counters.events,
    "known": probe_counters.known,
    "starving": probe_counters.starving,
    "hotplug": probe_counters.hotplug,
    "sharing": probe_sharing.sharing,
    "threads": probe_sharing.threads,
    "interrupts": lambda: probe_interrupts.interrupts(seconds=30),
    "interrupts-in-clocks": lambda: probe_interrupts.interrupts(seconds=10),
    "pids": probe_pids.pids,
    "start-up": probe_exporter.start_up,
    "killed": probe_exporter.killed,
    "powercap": probe_exporter.powercap,
    "unreadable": probe_exporter.unreadable,
    "meters": probe_meters.meters,
    "board": probe_board.board,
    "guest": probe_guest.guest,
    "image": probe_image.image,
}


def run(name: str) -> Finding:
    began = time.monotonic()
    signal.alarm(LONGEST_SECONDS)
    try:
        finding = PROBES[name]()
    except Exception:  # noqa: BLE001 (it is told, and the test fails of it)
        finding = {"error": traceback.format_exc()}
    finally:
        signal.alarm(0)
    return {**finding, "left_behind": left_after(), "seconds": round(time.monotonic() - began, 1)}


def _stop(*_: object) -> None:
    raise TimeoutError(f"not done within {LONGEST_SECONDS} s")


def main() -> None:
    signal.signal(signal.SIGALRM, _stop)
    for name in sys.argv[1:]:
        print(f"\n{MARK}{json.dumps({'name': name, **run(name)})}", flush=True)


if __name__ == "__main__":
    main()

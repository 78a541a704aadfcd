"""A board's power on a machine of ./kit: a real /dev/ipmi0, behind it the controller of external_bmc."""

from __future__ import annotations

import re
import struct
import subprocess
import time
from pathlib import Path

from estimator.meters import dcmi
from estimator.meters.ipmi_device import IpmiDevice
from tests.e2e.servers import Podjoule
from tests.vm.external_bmc import OWN_NETFN, STAND_STILL, TRUTHS
from tests.vm.probe_exporter import _SLOW_SECONDS, after_ticks, books, running, sums

DEVICE = Path("/dev/ipmi0")
MODULES = ("ipmi_msghandler", "ipmi_si", "ipmi_devintf")
PERIOD_SECONDS, WINDOW_SECONDS, STILL_SECONDS = 5, 60, 12


def load_drivers() -> None:
    """The kernel's own, and the device they make."""
    for module in MODULES:
        subprocess.run(["insmod", f"/{module}.ko"], check=True)
    deadline = time.monotonic() + 30
    while not DEVICE.exists():
        if time.monotonic() > deadline:
            raise TimeoutError(
                f"no {DEVICE}: {subprocess.run(['dmesg'], capture_output=True, text=True).stdout[-2000:]}"
            )
        time.sleep(0.2)


def _asked_ms(device: IpmiDevice) -> list[float]:
    found = []
    for _ in range(20):
        began = time.perf_counter()
        dcmi.parse(device.ask(dcmi.NETFN, dcmi.POWER_READING, dcmi.REQUEST))
        found.append(round((time.perf_counter() - began) * 1e3, 2))
    return sorted(found)


def _truths(device: IpmiDevice) -> dict[int, float]:
    """What the machine had drawn at each of the last readings of its power, in joules."""
    answer = device.ask(OWN_NETFN, TRUTHS, b"")[1:]
    return {number: millijoules / 1e3 for number, millijoules in struct.iter_unpack("<IQ", answer)}


def _total(page: str) -> float:
    return sums(page, "kepler_node_cpu_joules_total", "platform")


def _sample(page: str, name: str) -> float:
    (found,) = re.findall(rf"^{name}(?:\{{.*\}})? (\S+)$", page, re.MULTILINE)
    return float(found)


def _window(podjoule: Podjoule, device: IpmiDevice) -> tuple[dict[int, float], dict[float, int]]:
    """Every truth of a window, and each total that was exported with the newest reading that can be in it."""
    truths, totals, began = _truths(device), {}, time.monotonic()
    while time.monotonic() - began < WINDOW_SECONDS or len(totals) < 10:
        total = _total(podjoule.metrics())
        truths |= _truths(device)
        totals.setdefault(total, max(truths))
        if time.monotonic() - began > _SLOW_SECONDS:
            break
        time.sleep(0.5)
    return truths, totals


def _hang(podjoule: Podjoule, device: IpmiDevice) -> dict[str, object]:
    """How ticks go on while the controller stands still, and that it is read again."""
    before = podjoule.metrics()
    device.ask(OWN_NETFN, STAND_STILL, bytes([STILL_SECONDS]))
    durations, end = [], time.monotonic() + STILL_SECONDS
    while time.monotonic() < end:
        page = podjoule.metrics()
        durations.append(_sample(page, "podjoule_tick_duration_seconds"))
        time.sleep(1)
    total = _total(page)
    deadline = time.monotonic() + _SLOW_SECONDS / 4
    while _total(after := podjoule.metrics()) <= total and time.monotonic() < deadline:
        time.sleep(0.5)
    return {
        "ticks": _sample(page, "podjoule_ticks_total") - _sample(before, "podjoule_ticks_total"),
        "tick_before_seconds": _sample(before, "podjoule_tick_duration_seconds"),
        "longest_tick_seconds": max(durations),
        "joules_after": _total(after) - total,
    }


def board() -> dict[str, object]:
    """The real program over a real device: its sums against what the controller knows it showed."""
    load_drivers()
    device = IpmiDevice(DEVICE, timeout_seconds=30.0)
    asked_ms = _asked_ms(device)
    with running("--meters.preferred=ipmi", f"--platform.ipmi.period={PERIOD_SECONDS}s") as podjoule:
        after_ticks(podjoule, "platform")
        truths, totals = _window(podjoule, device)
        page = podjoule.metrics()
        hang = _hang(podjoule, device)
        log = podjoule.log.read_text()
    device.close()
    return {
        "asked_ms": asked_ms,
        "truths": list(truths.items()),
        "totals": list(totals.items()),
        "books": books(page, "platform"),
        "watts": re.findall(r"^kepler_platform_watts\{.*$", page, re.MULTILINE),
        "platform_joules": re.findall(r"^podjoule_platform_joules_total\{.*$", page, re.MULTILINE),
        "source": re.findall(r"^podjoule_power_source_info\{.*$", page, re.MULTILINE),
        "hang": hang,
        "log": log,
    }

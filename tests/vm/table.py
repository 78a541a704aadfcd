"""The page of kernels, from what the machines answered: `python -m tests.vm.table` after `make kernels`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from exporter.guests.tree import RANGE_UJ
from tests.vm.findings import (
    Answer,
    cpu_error_percent,
    exported_error,
    instruction_errors,
    loads_of,
    outside_ns,
    percent_off,
    percent_outside,
    sharing_errors,
    unbalanced,
)
from tests.vm.machines import IRQTIME_OFF, PROBES, ROOT, cache

PAGE = ROOT / "docs/kernels.md"
_HEAD = """# Kernels

Made by `make kernels` from its own findings; do not edit. Each row is a machine that `tests/vm/kit` boots by
software emulation: Debian's kernel, nothing but cgroup v2, two CPUs. Emulated machines are slow: no time is
stated as a speed; attaching includes reading the object, verifying and, for bcc, compiling.

"""
_COLUMNS = (
    "kernel",
    "loader",
    "attached",
    "counters",
    "CPU time, worst load",
    "short processes",
    "events against perf",
    "threads and sockets",
    "books",
    "start-up",
    "left behind",
)
_NOTES = """
- **CPU time**: how far our count lies outside the two readings of `cpu.stat` around it, for a busy loop,
  short processes, threads in two cgroups and a ping-pong across cgroups; allowed are 1 % or 20 ms.
- **short processes**: 200 a second are asked for. An amd64 machine that has the host to itself gets through
  them; in `make kernels` two share it. The arm64 machine counts instructions for its clock.
- **events against perf**: the worst of two cgroups that share a CPU, against perf's own counters for the
  same cgroups. On amd64 no PMU is emulated: software events (CPU clock, page faults) go the same way instead.
- **threads and sockets**: where the machine has two hardware threads a core: how far the share of a loop's
  time in which its sibling was busy is from a trace of every switch, in points, and how far the time that a
  socket was awake is from it, in percent of the window; the worst of four loads, on
  amd64 of each the median of three windows.
- **books**: what idle, every cgroup and `unattributed` leave of the node's joules, relative.
"""


def store(machine: str, answers: Mapping[str, Answer]) -> None:
    """Keep a machine's answers, for the page."""
    (cache() / f"answers-{machine}.json").write_text(json.dumps(answers, indent=1))


def stored() -> dict[str, dict[str, Answer]]:
    """Every machine's kept answers, in the page's order."""
    paths = {machine: cache() / f"answers-{machine}.json" for machine in PROBES if machine != IRQTIME_OFF}
    return {machine: json.loads(path.read_text()) for machine, path in paths.items() if path.exists()}


def page(machines: Mapping[str, dict[str, Answer]]) -> str:
    """The whole page."""
    rows = [row for answers in machines.values() if "start-up" in answers for row in _rows(answers)]
    tell = (_known, _powercap, _meters, _threads, _guest, _interrupts)
    notes = [text for answers in machines.values() for told in tell if (text := told(answers))]
    return (
        _HEAD
        + _line(_COLUMNS)
        + _line(["---"] * len(_COLUMNS))
        + "".join(rows)
        + _NOTES
        + "".join(f"- {text}\n" for text in notes)
    )


def _rows(answers: dict[str, Answer]) -> list[str]:
    counting = answers.get("core") or answers.get("core-and-bcc") or {"loads": {}}
    return [_row(answers, loader, counting) for loader in counting["loads"]]


def _row(answers: dict[str, Answer], loader: str, counting: Answer) -> str:
    rows = [row for by, _, row in loads_of(answers) if by == loader]
    worst = max(rows, key=outside_ns)
    events = ", ".join(f"{name} {error:.2g} %" for name, error in _named_errors(answers).items())
    start = answers["start-up"]
    cells = [
        str(answers["machine"]["release"]),
        loader,
        f"in {counting['attach_seconds'][loader]:.1f} s",
        ", ".join(counting["available"][loader]),
        f"{cpu_error_percent(worst):.2g} % ({outside_ns(worst) / 1e6:.2g} ms)",
        f"{counting['short_processes_per_second']:.0f} a second",
        events,
        _shared(answers),
        f"{unbalanced(start['books']):.0e}",
        f"{start['families']} families, exit {start['exit_code']}",
        _left(answers),
    ]
    return _line(cells)


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |\n"


def _named_errors(answers: dict[str, Answer]) -> dict[str, float]:
    names = {"cycles": "CPU clock", "instructions": "page faults", "cache_misses": "minor faults"}
    software = answers["events"]["stand_ins"]
    return {names[f] if software else f: error for f, error in instruction_errors(answers).items()}


def _left(answers: dict[str, Answer]) -> str:
    left = {what for finding in answers.values() for what in finding["left_behind"]}
    return ", ".join(sorted(left)) or "nothing"


def _known(answers: dict[str, Answer]) -> str:
    if "known" not in answers:
        return ""
    found: Any = answers["known"]
    off = {n: percent_off(found["counted"][n], found["perf"][n]) for n in ("instructions", "cycles")}
    whole = percent_outside(*(found[f"cpu1_{part}"]["instructions"] for part in ("cgroups", "least", "most")))
    return (
        f"**A known program** on {answers['machine']['release']}, beside a rival that switches on"
        f" its CPU: instructions {off['instructions']:.2g} % and cycles {off['cycles']:.2g} % from"
        f" what `perf stat` counts for it; all cgroups together {whole:.2g} % outside the two readings of the"
        " CPU's own counter around them."
    )


def _shared(answers: dict[str, Answer]) -> str:
    if "sharing" not in answers:
        return "not tried"
    points, percent = sharing_errors(answers["sharing"]["found"].values())
    return f"{points:.2g} points, {percent:.2g} %"


def _threads(answers: dict[str, Answer]) -> str:
    if "threads" not in answers:
        return ""
    points, percent = sharing_errors(answers["threads"]["found"].values())
    return (
        f"**Two sockets of a core with two threads** on {answers['machine']['release']}, threads on, off and"
        f" on again: loops' shared time {points:.2g} points, sockets' awake time {percent:.2g} % from the"
        " trace."
    )


def _guest(answers: dict[str, Answer]) -> str:
    if "guest" not in answers:
        return ""
    found = answers["guest"]
    counted = found["last"]["package"]["total"] - found["first"]["package"]["total"]
    told = (found["last_uj"]["package"] - found["first_uj"]["package"]) % (RANGE_UJ + 1) / 1e6
    return (
        f"**A guest and its host**: {answers['machine']['release']} under the podjoule of the machine that"
        f" emulates it, which is started anew in the middle of {found['window_seconds']:.0f} s: the guest"
        f" counted {counted:.6f} J of {told:.6f} J that it was billed."
    )


def _powercap(answers: dict[str, Answer]) -> str:
    if "powercap" not in answers:
        return ""
    found = answers["powercap"]
    books, true = found["books"], found["true_joules"]
    total = books["idle"] + books["cgroups"] + books["unattributed"]
    return (
        f"**Powercap zones with a known truth** on {answers['machine']['release']}, a wrap in the middle of"
        f" {found['window_seconds']:.0f} s: {total:.1f} J exported of {true:.1f} J drawn"
        f" ({percent_off(total, true):.2g} % off); idle learned as {found['idle_watts']:.2f} W of"
        f" {found['plant_idle_watts']:g} W."
    )


def _meters(answers: dict[str, Answer]) -> str:
    if "meters" not in answers:
        return ""
    perf, hwmon = answers["meters"]["perf"], answers["meters"]["hwmon"]
    off = {
        "perf's energy events": exported_error(perf, "package", restarted=True),
        "hwmon's energy": exported_error(hwmon, "package", restarted=True),
        "hwmon's power": exported_error(hwmon, "platform", restarted=False),
    }
    told = ", ".join(f"{name} {error:.2g} %" for name, error in off.items())
    return (
        f"**Other meters with a known truth** on {answers['machine']['release']}, a wrap and a restart in the"
        f" middle of {answers['meters']['window_seconds']:.0f} s, exported against drawn: {told} off; of"
        " power the time between the two processes is left out."
    )


def _interrupts(answers: dict[str, Answer]) -> str:
    if "interrupts" not in answers:
        return ""
    found = answers["interrupts"]
    took = sum(found["by_column_ns"][name] for name in ("irq", "softirq"))
    off = percent_outside(found["counted_ns"], found["least_ns"], found["most_ns"])
    return (
        f"**Interrupts that are on no task's clock** on {answers['machine']['release']}, compiled with"
        f" `CONFIG_IRQ_TIME_ACCOUNTING`, under a flood of datagrams: all workloads together"
        f" {found['counted_ns'] / 1e9:.2f} s of CPU time, {off:.2g} % outside the two readings of"
        f" `/proc/stat` around it. {100 * took / found['most_ns']:.0f} % was interrupts' and is `kernel`'s."
    )


def main() -> None:
    Path(PAGE).write_text(page(stored()))


if __name__ == "__main__":
    main()

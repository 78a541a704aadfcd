"""What a simulated day has to show for itself in the end, as rows of a table."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from tests.bench.rows import Row, at_most, note
from tests.soak.simulated.day import HOUR, RESTARTING, Day

UNEQUAL = 1e-9
# The C heap keeps the room of its fullest moment: of a long outage of the API server, in which rows wait for
# names, and of processes that here share one Python.
GROWN_UP_HOURS, LEAST_HOURS = 2.0, 6.0
GROWTH_MB, GROWTH_OF_ONE_MB = 8.0, 4.0
BEYOND_PERCENT = 0.1
# Each by a trouble of its own; "…" stands for what differs from one to the other.
_EXPECTED = re.compile(
    r"… (has vanished|energy_uj (failed|is gone): .*|stands still: what it drew is told once it goes on"
    r"|reads less than .*: what it drew is told once it goes on|gap, its energy is not counted: .*)"
    r"|the tick failed, counters stay as they were: OSError: .*"
    r"|redfish: (does not answer: waiting for it, ticks go on|cannot be read: .*)"
    r"|board: (gap, its energy is not counted: .*|no power for … s: what it drew is not known)"
    r"|\S+: (rapl|hwmon) serves it from now on: (rapl|hwmon) gives no energy any more"
    r"|… s without podjoule are a gap, counters go on after it: the machine has been rebooted"
    r"|the API server: connection: no connection; names that are known stay, next try in … s",
    re.DOTALL,
)


def rows(folder: Path, seconds: float, seed: str) -> Iterator[Row]:
    """Have a day, or a part of one, and say how it was. folder: an empty one."""
    day, began = Day(folder, seconds, seed), time.monotonic()
    day.run()
    yield note("real time", f"{time.process_time():.0f} s of CPU", time.monotonic() - began, "s")
    yield from _what_happened(day)
    yield from _books(day)
    yield from _pages(day)
    yield from _energy(day)
    yield from _memory(day)
    yield from _log(day)


def _what_happened(day: Day) -> Iterator[Row]:
    hours = day.machine.clock.lived_seconds / HOUR
    yield note("time that passed, simulated", f"{day.audit.ticks:,} ticks", hours, "h")
    came = ", ".join(f"{n:,} {kind}s" for kind, n in day.machine.population.came.most_common())
    yield note("cgroups that came", came, day.machine.counts.made, "cgroups")
    yield note("rows of the books, the most", "", day.audit.rows, "rows")
    yield note("processes", f"{day.starts - 1} restarts and reboots", day.starts, "starts")
    for name, n in sorted(day.troubles.done.items()):
        yield note(f"trouble: {name}", "", n, "times")


def _books(day: Day) -> Iterator[Row]:
    for what, error in day.audit.most_unequal.items():
        yield at_most(f"conservation: {what}", "at every tick", error, UNEQUAL, "ratio")
    yield note("CPU time that ended with a kernel", "reboots", day.audit.lost_seconds, "s")
    yield at_most(
        "rows of the books that went down", _first(day.audit.fallen), len(day.audit.fallen), 0, "rows"
    )
    for part, errors in day.failed.items():
        if part == "counters":
            yield note("ticks in which the counts could not be read", "", errors, "ticks")
    wrong = {part: errors for part, errors in day.failed.items() if errors and part != "counters"}
    yield at_most("other parts of ticks that failed", str(wrong or ""), sum(wrong.values()), 0, "ticks")


def _pages(day: Day) -> Iterator[Row]:
    told = f"{day.pages['pages']:,} pages, {day.pages['series']:,} samples"
    for what, words in (
        ("fallen", "counters that went down"),
        ("returned", "counters that came back with less"),
        ("early", "counters that began in the future"),
        ("refused", "pages that were refused"),
    ):
        found = day.wrong[what]
        yield at_most(words, _first(found) or told, len(found), 0, "series")
    yield note("clients that read nothing", "", day.deaf, "connections")
    most = f"at the most {day.most['series']:,} on a page of {day.most['kilobytes']:,} kB"
    yield at_most("series, as a part of what is alive or kept", most, day.fullest, 1.0, "ratio")


def _energy(day: Day) -> Iterator[Row]:
    meters = day.machine.meters
    for zone, drawn in sorted(meters.drawn.items()):
        told = day.booked[zone]
        words = f"{told:,.0f} of {drawn:,.0f} J"
        yield at_most(
            f"{zone}: counted beyond what was drawn", words, 100 * (told / drawn - 1), BEYOND_PERCENT, "%"
        )
        yield at_most("… not counted, of what need not be", "", drawn - told, meters.excused[zone], "J")


def _memory(day: Day) -> Iterator[Row]:
    last = day.sizes[-1].hours
    if last < LEAST_HOURS:
        yield note("resident memory", "too short a time to grow in", day.sizes[-1].resident_mb, "MB")
        return
    yield _growth(day, "resident memory, growth", GROWN_UP_HOURS, GROWTH_MB)
    old = RESTARTING * last + GROWN_UP_HOURS / 2
    yield _growth(day, "… of the last process", old, GROWTH_OF_ONE_MB)
    yield note("… the most", "", max(size.resident_mb for size in day.sizes), "MB")
    yield note("descriptors, the most", "", max(size.descriptors for size in day.sizes), "files")
    yield at_most("threads, the most", "", max(size.threads for size in day.sizes), 20, "threads")


def _growth(day: Day, what: str, since_hours: float, budget_mb: float) -> Row:
    """From an hour that begins then to the last one."""
    last = day.sizes[-1].hours
    early = [each.resident_mb for each in day.sizes if since_hours <= each.hours < since_hours + 1]
    late = [each.resident_mb for each in day.sizes if each.hours >= last - 1]
    told = f"{median(early):.1f} MB after {since_hours:g} h, {median(late):.1f} MB after {last:.0f} h"
    return at_most(what, told, median(late) - median(early), budget_mb, "MB")


def _log(day: Day) -> Iterator[Row]:
    known = {found: n for found, n in day.logged.found.items() if _EXPECTED.fullmatch(found[1])}
    yield note(
        "log: warnings and errors that were to be expected",
        f"{len(known)} kinds",
        sum(known.values()),
        "lines",
    )
    odd = {words: n for (_, words), n in day.logged.found.items() if not _EXPECTED.fullmatch(words)}
    for words, n in odd.items():
        yield at_most("log: not to be expected", words.replace("|", r"\|"), n, 0, "lines")
    if not odd:
        yield at_most("log: not to be expected", "", 0, 0, "lines")


def _first(found: list[str]) -> str:
    return found[0].replace("|", r"\|") if found else ""

"""What a soak has to show for itself in the end, as rows of a table."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from statistics import median

from tests.bench.rows import Row, at_most, note
from tests.e2e.servers import get
from tests.live.pages import seconds_of
from tests.live.sandbox import Cgroup
from tests.soak.log import entries
from tests.soak.meter import DRAM, PACKAGE, WATTS
from tests.soak.pages import Pages, Size
from tests.soak.stage import Stage

GROWTH_PERCENT = 5.0
OFF_PERCENT = 1.0
# A gap costs what was drawn between two good readings: a fault of some seconds, a downtime and a start, two
# ticks of a machine that is busy.
GAP_SECONDS = 10.0
# Where many come at once, the kernel has no memory for some of their first moments (BPF_F_NO_PREALLOC).
DROPPED_SECONDS = 0.1
NAMED_WITHIN_SECONDS = 75.0
SETTLED_SECONDS = 4.0
_EXPECTED_ERRORS = {"state"}
_INFO = re.compile(r'^podjoule_pod_info\{.*pod_id="([^"]+)"', re.MULTILINE)


def memory(sizes: Sequence[Size], since: float) -> Iterator[Row]:
    """Over the stretch without restarts, from its first tenth on."""
    of_one = [size for size in sizes if size.pid == sizes[-1].pid and size.at >= since]
    tenth = max(1, len(of_one) // 10)
    first, last = (median(size.resident_mb for size in part) for part in (of_one[:tenth], of_one[-tenth:]))
    seconds = of_one[-1].at - of_one[0].at
    told = f"{first:.1f} MB, {last:.1f} MB after {seconds:.0f} s"
    yield at_most("resident memory, growth", told, (last / first - 1) * 100, GROWTH_PERCENT, "%")
    yield note("… the most in that time", "", max(size.resident_mb for size in of_one), "MB")
    yield at_most("threads, the most", "", max(size.threads for size in of_one), 20, "threads")


def energy(pages: Pages, on: Stage) -> Iterator[Row]:
    """What the zones were told to have drawn against what they drew."""
    faults = {_first_label(name): n for name, n in pages.ever("podjoule_power_errors_total").items()}
    words = ", ".join(f"{kind} {count:.0f}" for kind, count in sorted(faults.items()))
    yield note("what the meter did wrong, as counted", words, sum(faults.values()), "faults")
    # The package's faults cost nothing, but where it passes its range just when it goes on from a standstill.
    gaps = {PACKAGE: float(_gaps_in_log(on, PACKAGE)), DRAM: faults.get("gap", 0.0)}
    for zone, name in ((PACKAGE, "package"), (DRAM, "dram")):
        told, drawn = pages.total("kepler_node_cpu_joules_total", f'zone="{name}"'), on.meter.drawn[zone]
        words = f"{told:,.1f} of {drawn:,.1f} J"
        yield at_most(f"{name}: counted beyond what was drawn", words, told - drawn, 1.0, "J")
        seconds = (gaps[zone] + (gaps[zone] > 0)) * GAP_SECONDS
        allowed = OFF_PERCENT / 100 * drawn + seconds * WATTS[zone]
        yield at_most(
            "… not counted, with the gaps that are", f"{gaps[zone]:.0f} gaps", drawn - told, allowed, "J"
        )
    others = pages.total("kepler_node_cpu_joules_total") - sum(
        pages.total("kepler_node_cpu_joules_total", f'zone="{name}"') for name in ("package", "dram")
    )
    yield at_most("energy of other zones", "such as a model's", others, 0, "J")
    yield at_most("conservation error, the largest", "", pages.most_unequal, 1e-9, "ratio")


def cpu(page: str, known: Iterable[Cgroup]) -> Iterator[Row]:
    """What known containers used, against the kernel's own accounting."""
    for group in known:
        told, used = seconds_of(page, group), group.used_ns("v2") / 1e9
        words = f"{told:.3f} of {used:.3f} s"
        yield at_most("CPU time of a container, off", words, abs(told / used - 1) * 100, OFF_PERCENT, "%")


def books(pages: Pages) -> Iterator[Row]:
    """Over all pages."""
    yield at_most("counters that went down", f"{pages.pages:,} pages", len(pages.fallen), 0, "series")
    yield note("… after a kill with a full disk", "not kept, as the log says", len(pages.excused), "series")
    parts = pages.series("podjoule_component_errors_total")
    failed = {_first_label(name): n for name, n in parts.items()}
    wrong = {name: n for name, n in failed.items() if name not in _EXPECTED_ERRORS}
    yield note("ticks that could not be kept", "the disk was full", failed.get("state", 0), "ticks")
    yield at_most("other parts of ticks that failed", str(wrong or ""), sum(wrong.values()), 0, "ticks")
    dropped = pages.total("podjoule_bpf_dropped_seconds_total")
    yield at_most("CPU time that is counted as dropped", "", dropped, DROPPED_SECONDS, "s")
    yield at_most("series evicted", "", pages.total("podjoule_terminated_evicted_total"), 0, "series")
    words = ", ".join(f"{why}: {n}" for why, n in sorted(pages.refused.items()))
    yield at_most("scrapes refused by a running exporter", words, sum(pages.refused.values()), 0, "pages")


def logged(on: Stage) -> Iterator[Row]:
    """Lines of the log that no trouble explains."""
    found = Counter((entry.level, entry.expected) for entry in entries(on.exporter.logs))
    for (level, who), count in sorted(found.items()):
        if who not in ("", "quiet"):
            yield note(f"log: {level}s that were to be expected", who, count, "lines")
    odd = Counter(str(entry)[:300] for entry in entries(on.exporter.logs) if not entry.expected)
    for message, count in odd.most_common(20):
        yield at_most("log: not to be expected", message.replace("|", r"\|"), count, 0, "lines")
    if not odd:
        yield at_most("log: not to be expected", "", 0, 0, "lines")


def names(on: Stage) -> Row:
    """Until every pod that runs and is known has its name on the page again."""
    since = time.monotonic()
    while True:
        page = get(f"{on.exporter.url}/metrics", timeout=30)[1]
        nameless = on.pods.named - set(_INFO.findall(page))
        seconds = time.monotonic() - since
        if not nameless or seconds > NAMED_WITHIN_SECONDS:
            told = f"{len(on.pods.named) - len(nameless)} of {len(on.pods.named)} pods"
            return at_most("names, after the last outage", told, seconds, NAMED_WITHIN_SECONDS, "s")
        time.sleep(0.3)


def _first_label(series: str) -> str:
    return series.split('"')[1]


def _gaps_in_log(on: Stage, zone: str) -> int:
    """The metric does not tell zones apart."""
    said = f"{on.meter.path(zone)}: gap, "
    return sum(entry.message.startswith(said) for entry in entries(on.exporter.logs))

"""One capability less each time: what goes is what the documentation says, and the rest works."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.e2e.kubernetes.releases import Release
from tests.e2e.kubernetes.workloads import Workloads

pytestmark = [pytest.mark.e2e, pytest.mark.kubernetes, pytest.mark.timeout(600)]


@dataclass(frozen=True)
class Expected:
    """capabilities: what is added to none. source: which counters are left. message: what the log says."""

    capabilities: tuple[str, ...]
    source: str
    message: str


# The table of docs/kubernetes.md, as far as a kernel of 5.11 or later can show it.
EXPECTED = {
    "no-bpf": Expected(("PERFMON",), "cpu.stat", r"not effective here: CAP_BPF\b"),
    "no-perfmon": Expected(("BPF",), "cpu.stat", r"not effective here: CAP_PERFMON\b"),
    "none": Expected((), "cpu.stat", r"not effective here: CAP_BPF, CAP_PERFMON\b"),
}


@pytest.fixture(scope="module")
def lessened(make_release: Callable[..., Release], workloads: Workloads) -> Iterator[dict[str, Release]]:
    """A release for each row, all at once; they have ticked for a while."""
    made = {
        name: make_release(name, values={"capabilities": list(row.capabilities)})
        for name, row in EXPECTED.items()
    }
    for release in made.values():
        release.wait()
    time.sleep(8)
    yield made
    for release in made.values():
        release.uninstall()


@pytest.mark.parametrize("name", EXPECTED)
def test_the_counters_that_are_left(lessened: dict[str, Release], name: str) -> None:
    page = lessened[name].metrics()
    assert re.findall(r'podjoule_usage_source_info\{.*source="([^"]+)"', page) == [EXPECTED[name].source]


@pytest.mark.parametrize("name", EXPECTED)
def test_the_log_says_what_lacks(lessened: dict[str, Release], name: str) -> None:
    assert re.search(EXPECTED[name].message, lessened[name].log())


@pytest.mark.parametrize("name", EXPECTED)
def test_the_rest_works(lessened: dict[str, Release], name: str) -> None:
    """The meter is read, pods have names and joules, and nothing fails at each tick."""
    page = lessened[name].metrics()
    assert re.search(r'^podjoule_power_source_info\{.*source="rapl"', page, re.MULTILINE)
    pods = re.findall(
        r'^kepler_pod_cpu_joules_total\{(.*pod_name="double-[^"]+".*)\} (\S+)', page, re.MULTILINE
    )
    assert {float(joules) > 0 for _, joules in pods} == {True}
    failed = re.findall(r"^podjoule_component_errors_total\{.*\} (\S+)", page, re.MULTILINE)
    assert set(map(float, failed)) <= {0.0}
    assert lessened[name].restarts() == 0

"""A machine of ./kit as a guest: its own podjoule counts what the podjoule of its host billed it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest

from exporter.guests.tree import RANGE_UJ
from tests.vm import machines
from tests.vm.findings import percent_off, unbalanced
from tests.vm.guest_host import Told, host_a_guest
from tests.vm.probe_guest import WINDOW_SECONDS, ZONES
from tests.vm.test_kernels import NEEDED, fetched

pytestmark = [pytest.mark.e2e, pytest.mark.kernels, pytest.mark.timeout(2 * machines.LONGEST_SECONDS + 300)]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    fetched()  # it is set up before what is each test's own
    return host_a_guest(tmp_path_factory.mktemp("host"))


@pytest.fixture(autouse=True)
def needs_the_kit(require_root_bpf: None, require_command: Callable[[str], str]) -> None:
    for command in (*NEEDED, "xz"):
        require_command(command)
    fetched()


def since(first_uj: int, last_uj: int) -> float:
    """What a counter drew between two readings, in joules; it may have wrapped."""
    return (last_uj - first_uj) % (RANGE_UJ + 1) / 1e6


def billed_at(told: Told, zone: str, counter_uj: int) -> float:
    """The host's bill as the counter stood there: of the page that was read closest before."""
    seen = told.by_counter[zone]
    closest = min(seen, key=lambda before_uj: since(before_uj, counter_uj))
    return seen[closest]["billed"] + since(closest, counter_uj)


def between(told: Told, zone: str) -> float:
    """What the host told in the guest's window, in joules, by the counters themselves."""
    first, last = told.guest["first_uj"][zone], told.guest["last_uj"][zone]
    return since(first, last)


@pytest.mark.parametrize("zone", ZONES)
def test_what_the_guest_counts_is_what_the_host_billed_it(told: Told, zone: str) -> None:
    assert "error" not in told.guest, told.guest["error"]
    assert told.guest["window_seconds"] >= WINDOW_SECONDS
    first, last = told.guest["first"][zone], told.guest["last"][zone]
    counted = {name: last[name] - first[name] for name in last}
    ends = [billed_at(told, zone, told.guest[end][zone]) for end in ("first_uj", "last_uj")]
    assert unbalanced(counted) <= 1e-9
    assert counted["total"] > 1
    parts = counted["idle"] + counted["cgroups"] + counted["unattributed"]
    assert percent_off(parts, ends[1] - ends[0]) <= 0.5
    assert parts == pytest.approx(between(told, zone), abs=1e-5), "not a microjoule is lost"


def test_the_counters_wrapped_and_the_hosts_podjoule_was_started_anew_meanwhile(told: Told) -> None:
    assert told.guest["last_uj"]["package"] < told.guest["first_uj"]["package"]
    assert len(told.logs) == 2
    assert all('kind="gap"' not in line or line.endswith(" 0.0") for line in told.guest["errors"])
    assert [line for line in told.guest["source"] if 'source="host"' in line]


def test_two_cgroups_of_the_guest_get_the_energy_of_their_time(told: Told) -> None:
    whole, half = told.guest["cpu_seconds"]
    assert 1.9 < whole / half < 2.1, "the load is broken"
    joules = told.guest["joules"]
    assert percent_off(joules[0] / joules[1], whole / half) <= 10


@pytest.mark.parametrize("zone", ZONES)
def test_the_hosts_own_books_balance_and_are_the_counters(told: Told, zone: str) -> None:
    seen = told.by_counter[zone]
    assert len(seen) > 5
    for books in seen.values():
        parts = sum(books[name] for name in ("idle", "vms", "pods", "containers", "cgroups", "unattributed"))
        assert parts == pytest.approx(books["total"], rel=1e-9)
    for (before_uj, before), (after_uj, after) in pairwise(seen.items()):
        assert since(before_uj, after_uj) == pytest.approx(after["billed"] - before["billed"], abs=2e-6)


def test_the_machine_leaves_no_tree_behind(told: Told) -> None:
    assert told.left == []


def test_nothing_went_wrong_on_the_way(told: Told) -> None:
    for log in (*told.logs, told.guest["log"]):
        assert "Traceback" not in log
        assert "not shared" not in log

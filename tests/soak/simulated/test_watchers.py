"""Who watches a simulated day sees what is wrong."""

from __future__ import annotations

from collections.abc import Callable

from tests.exporter.nodes import Node, container, in_pod
from tests.soak.simulated.audit import Audit
from tests.soak.simulated.scraper import Pages
from tests.soak.simulated.verdict import UNEQUAL

_PAGE = "# TYPE kepler_pod_cpu_joules_total counter\n# TYPE podjoule_cgroup_cpu_seconds_total counter\n"
_POD, _UNIT = 'kepler_pod_cpu_joules_total{pod_id="a"}', 'podjoule_cgroup_cpu_seconds_total{cgroup="/b"}'
NOW = 1.8e9


def page(**values: float) -> str:
    lines = [f"{series} {value}" for series, value in zip((_POD, _UNIT), values.values(), strict=False)]
    return _PAGE + "\n".join(lines) + "\n"


def test_a_counter_that_goes_down_is_found() -> None:
    pages = Pages()
    assert pages.look(page(pod=2.0, unit=1.0), NOW) == 2
    pages.look(page(pod=2.0, unit=0.5), NOW)
    assert pages.fallen == [f"{_UNIT}: 1.0, then 0.5"]


def test_a_pod_that_comes_back_with_less_is_found() -> None:
    pages = Pages()
    for text in (page(pod=2.0), _PAGE, page(pod=1.5)):
        pages.look(text, NOW)
    assert pages.returned == [f"{_POD}: 2.0, then 1.5"]


def test_what_goes_by_its_name_may_begin_anew() -> None:
    pages = Pages()
    for text in (page(pod=1.0, unit=2.0), page(pod=1.0), page(pod=1.0, unit=0.5)):
        pages.look(text, NOW)
    assert not pages.fallen + pages.returned


def test_a_counter_that_began_in_the_future_is_found() -> None:
    pages = Pages()
    pages.look(page(pod=1.0) + f'kepler_pod_cpu_joules_created{{pod_id="a"}} {NOW + 9}\n', NOW)
    assert len(pages.early) == 1


def watched(befalls: Callable[[Node], None] = lambda node: None) -> Audit:
    """A minute in which a container ends, and another one is in a pod."""
    node, audit = Node(ttl=15.0), Audit()
    for path in (container(1), in_pod(2)):
        node.source.add(path)
    used_seconds = 0.0
    for tick in range(12):
        for path in (container(1), in_pod(2)) if tick < 4 else (in_pod(2),):
            node.source.use(path, 1.0)
            used_seconds += 1.0
        if tick == 4:
            node.source.end(container(1))
        if tick == 8:
            befalls(node)
        node.draw(60.0)
        audit.look(node.measurement, node.advance(), used_seconds)
    return audit


def test_books_that_are_right_are_found_so_also_once_a_row_is_gone() -> None:
    audit = watched()
    assert not audit.fallen
    assert {"CPU time", "energy of a tick", "energy since the start, package"} <= audit.most_unequal.keys()
    assert max(audit.most_unequal.values()) < 1e-12


def test_time_that_nobody_used_is_found() -> None:
    def befalls(node: Node) -> None:
        node.measurement.ledger._table.values[:, 0] += 1e-3

    audit = watched(befalls)
    assert audit.most_unequal["CPU time"] > UNEQUAL
    assert not audit.fallen


def test_a_row_that_goes_down_is_found() -> None:
    def befalls(node: Node) -> None:
        node.measurement.ledger._table.values[:, 0] -= 1.5

    assert watched(befalls).fallen


def test_a_joule_that_is_in_no_row_is_found() -> None:
    def befalls(node: Node) -> None:
        node.measurement.ledger.node._unattributed["package", "no one"] = 1e-3

    assert watched(befalls).most_unequal["energy since the start, package"] > UNEQUAL

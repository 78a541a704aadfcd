"""Training data from a real Prometheus: what the plant drew is what the rows hold."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import pandas as pd
import pytest

pytest.importorskip("prometheus_api_client", reason="pip install podjoule[train]")

from ebpf.errors import UsageError
from estimator.training.prometheus_source import POINTS_PER_PIECE, Range, pieces, read_prometheus
from estimator.training.samples import Samples
from tests.e2e.servers import Plant, Podjoule, Prometheus
from tests.estimator.meters.rapl_tree import RaplTree

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.alone,
    # dateparser, of prometheus-api-client, at its import
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

WATTS = {"package": 40.0, "dram": 6.0}
ROWS = 12


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Prometheus, float, float]]:
    folder = tmp_path_factory.mktemp("source")
    tree = RaplTree(folder / "sys")
    tree.add_zone("intel-rapl:0", "package-0")
    tree.add_zone("intel-rapl:0:0", "dram")
    arguments = ("--host.sysfs", str(folder / "sys"), "--monitor.interval", "1s", "--kube.node-name", "e2e")
    with contextlib.ExitStack() as stack:
        stack.enter_context(Plant(tree, {"intel-rapl:0": WATTS["package"], "intel-rapl:0:0": WATTS["dram"]}))
        podjoule = stack.enter_context(Podjoule(*arguments, log=folder / "podjoule.log"))
        target = podjoule.url.removeprefix("http://")
        prometheus = stack.enter_context(Prometheus(folder / "prometheus", [target]))
        start = time.time()
        _await_samples(prometheus, ROWS + 1)
        podjoule.stop()
        with Podjoule(*arguments, log=folder / "again.log") as again:
            # Another port is another target: the old series go stale, the node's next ones begin anew.
            assert again.metrics()
            time.sleep(3)
        yield prometheus, start, time.time()


def _await_samples(prometheus: Prometheus, n: int, seconds: float = 120) -> None:
    """Until the node's first counter was scraped so often; a busy machine misses a scrape now and then."""
    scraped = 'max(count_over_time(kepler_node_cpu_joules_total{zone="package"}[3m]))'
    deadline = time.monotonic() + seconds
    while prometheus.value(scraped) < n:
        assert time.monotonic() < deadline, "the exporter is not scraped"
        time.sleep(1)


@pytest.fixture(scope="module")
def samples(served: tuple[Prometheus, float, float]) -> Samples:
    prometheus, start, end = served
    return read_prometheus(prometheus.url, Range(start, end), quiet=True)


def test_rows_hold_what_the_plant_drew(samples: Samples) -> None:
    assert len(samples) >= ROWS
    assert samples.zones == ("package", "dram")
    seconds = samples.frame["interval_seconds"].sum()
    for zone, watts in WATTS.items():
        assert samples.frame[f"{zone}_joules"].sum() / seconds == pytest.approx(watts, rel=0.05)
        assert samples.watts(zone) == pytest.approx(watts, rel=0.25)


def test_rows_are_as_long_as_scrapes_are_apart(samples: Samples) -> None:
    assert samples.frame["interval_seconds"].median() == pytest.approx(2, rel=0.05)
    assert set(samples.frame["node"]) == {"e2e"}
    span = samples.frame["timestamp_seconds"].max() - samples.frame["timestamp_seconds"].min()
    assert samples.frame["interval_seconds"].iloc[1:].sum() == pytest.approx(span, abs=1)


def test_cpu_time_is_the_whole_nodes(samples: Samples, served: tuple[Prometheus, float, float]) -> None:
    prometheus, _, _ = served
    assert samples.features[0] == "cpu_seconds"
    end, span = samples.frame["timestamp_seconds"].max(), samples.frame["interval_seconds"].sum()
    ratio = prometheus.value(f"avg(avg_over_time(kepler_node_cpu_usage_ratio[{round(span)}s]))", end)
    capacity = (samples.frame["n_cpu"] * samples.frame["interval_seconds"]).sum()
    assert samples.frame["cpu_seconds"].sum() / capacity == pytest.approx(ratio, rel=0.25)


def test_pieces_give_the_same_rows(
    samples: Samples, served: tuple[Prometheus, float, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    prometheus, start, end = served
    monkeypatch.setattr("estimator.training.prometheus_source.POINTS_PER_PIECE", 4)
    again = read_prometheus(prometheus.url, Range(start, end), quiet=True)
    # Prometheus sums series in no fixed order, so the last bits of a sum may differ.
    pd.testing.assert_frame_equal(again.frame, samples.frame, rtol=1e-12, atol=0)


def test_a_range_with_nothing_in_it_says_so(served: tuple[Prometheus, float, float]) -> None:
    prometheus, start, _ = served
    with pytest.raises(UsageError, match="is podjoule scraped"):
        read_prometheus(prometheus.url, Range(start - 7200, start - 3600), quiet=True)


def test_a_server_that_is_not_there_is_named() -> None:
    with pytest.raises(UsageError, match="does not answer"):
        read_prometheus("http://127.0.0.1:9", Range(0, 60), quiet=True)


def test_the_pieces_of_a_range_touch_and_do_not_overlap() -> None:
    found = list(pieces(3, 15.0 * 3 * POINTS_PER_PIECE, 15))
    points = [at for first, last in found for at in range(first, last + 1, 15)]
    assert points == list(range(15, 15 * 3 * POINTS_PER_PIECE + 1, 15))
    assert all((last - first) // 15 < POINTS_PER_PIECE for first, last in found)

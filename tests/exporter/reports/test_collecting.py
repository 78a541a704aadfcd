from __future__ import annotations

import hashlib
import logging
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from exporter.commands.cli import main
from exporter.reports.collecting import Wanted
from exporter.reports.options import Options, of_metadata
from exporter.reports.source import Retry
from tests.exporter.reports.nodes import rows_of
from tests.exporter.reports.prometheus_api import Answer, Api, failure
from tests.exporter.reports.world import HOUR, ZONES, Node, Pod, labels_of, samples_of

pq = pytest.importorskip("pyarrow.parquet", reason="pip install podjoule[report]")

ROOT = Path(__file__).resolve().parents[3]
HOURS = 3
END = HOUR + HOURS * 3600 + 700.0
LONG = Pod("u1", "web-1", HOUR - 9_000.0, HOUR + 99_000.0, 10.0)
MOVED = (
    Pod("u2", "db-0", HOUR - 9_000.0, HOUR + 1_500.0, 4.0, "data", "db", "b"),
    Pod("u3", "db-0", HOUR + 1_530.0, HOUR + 99_000.0, 4.0, "data", "db", "b"),
)
SHORT = tuple(
    Pod(f"s{n}", f"job-{n}", HOUR + 400.0 * n + 99, HOUR + 400.0 * n + 189, 8.0, "ci", "job")
    for n in range(9)
)
NODES = (
    Node("n1", (LONG, *SHORT[:5], MOVED[0]), end=END, step=60.0, shared_idle_watts=1.0),
    Node("n2", (MOVED[1], *SHORT[5:]), end=END, step=60.0, resets=[HOUR + 1987.0]),
    Node("n3", end=END, step=60.0, source=("model", "cloud", "abc"), pue=1.0),
)
RANGE = ("--from", "2026-10-01T08:00", "--to", "2026-10-01T11:00")


@pytest.fixture(scope="module")
def served() -> Iterator[Api]:
    with Api(samples_of(NODES)) as api:
        yield api


@pytest.fixture
def api(served: Api) -> Api:
    served.trouble = lambda path, query: None
    served.asked.clear()
    served.most_under_way = 0
    return served


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exporter.reports.source.Retry", partial(Retry, first_wait_seconds=0.0))


def arguments(api: Api, store: Path, *more: str, span: Sequence[str] = RANGE) -> list[str]:
    return [
        *("report", "collect", "--prometheus", api.url, "--cluster", "c", "--store", str(store)),
        *("--labels", "team", *span, *more),
    ]


def files(store: Path) -> dict[str, str]:
    """Every file of a store by its name, as its hash."""
    return {
        str(path.relative_to(store)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(store.rglob("*"))
        if path.is_file()
    }


def rows(store: Path, hour: int = HOUR) -> list[dict[str, object]]:
    name = f"hour=20261001T{8 + (hour - HOUR) // 3600:02}Z.parquet"
    found: list[dict[str, object]] = pq.read_table(
        store / "cluster=c/month=2026-10" / name, partitioning=None
    ).to_pylist()
    return found


@pytest.fixture(scope="module")
def collected(served: Api, tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("collected")
    assert main(arguments(served, store)) == 0
    return store


def test_an_hour_is_a_file_and_its_rows_are_those_of_the_nodes(collected: Path) -> None:
    """What was asked for in pieces over HTTP is what the arithmetic makes of all samples."""
    assert list(files(collected)) == [
        f"cluster=c/month=2026-10/hour=20261001T{hour:02}Z.parquet" for hour in (8, 9, 10)
    ]
    for hour in range(HOUR, HOUR + HOURS * 3600, 3600):
        for found, meant in zip(rows(collected, hour), rows_of(NODES, hour), strict=True):
            for name, value in found.items():
                told = getattr(meant, name)
                is_number = isinstance(told, float)
                assert value == (pytest.approx(told, rel=1e-12, abs=1e-9) if is_number else _plain(told))


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def test_a_file_says_with_which_flags_it_was_collected(api: Api, tmp_path: Path, collected: Path) -> None:
    groups = ("--node-groups", "one=.*1", "two=.*2", "--market-intensity", "120", "--labels", "team,product")
    span = ("--from", "2026-10-01T08:00", "--to", "2026-10-01T09:00")
    assert main(arguments(api, tmp_path, *groups, span=span)) == 0
    wanted = (Options(("team",)), Options(("product", "team"), ("one=.*1", "two=.*2"), 120.0))
    for store, options in zip((collected, tmp_path), wanted, strict=True):
        file = next(store.rglob("hour=20261001T08Z.parquet"))
        assert of_metadata(pq.read_schema(file).metadata) == options


def test_pods_of_ninety_seconds_and_pods_that_moved_are_whole(collected: Path) -> None:
    found = {row["workload"]: row for row in rows(collected) if row["kind"] == "active"}
    whole = sum(ZONES.values())
    assert found["job"]["joules"] == pytest.approx(9 * 90 * 8.0 * whole, rel=1e-9)
    assert found["db"]["joules"] == pytest.approx(3570 * 4.0 * whole, rel=1e-9)
    assert (found["job"]["pods"], found["db"]["pods"]) == (9, 2)


def test_what_is_there_is_not_asked_for_again(api: Api, collected: Path) -> None:
    before = files(collected)
    assert main(arguments(api, collected)) == 0
    assert (api.asked, files(collected)) == ([], before)


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_at_random_and_started_again_it_writes_the_same_files(
    api: Api, collected: Path, tmp_path: Path, seed: int
) -> None:
    chance, left, running = random.Random(seed), [0], []

    def kill(path: str, query: str) -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(running[-1].pid, signal.SIGKILL)

    api.trouble = kill
    codes = []
    for requests in (chance.randrange(2, 8), chance.randrange(4, 14), 0):
        left[0] = requests
        command = [sys.executable, "-m", "exporter.commands.cli", *arguments(api, tmp_path)]
        running.append(subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL))
        codes.append(running[-1].wait())
    assert codes == [-signal.SIGKILL, -signal.SIGKILL, 0]
    assert files(tmp_path) == files(collected)


def test_a_server_that_fails_now_and_then_gives_the_same_files(
    api: Api, collected: Path, tmp_path: Path
) -> None:
    """However often it was asked again, and in whatever pieces."""
    chance = random.Random(3)
    refusals: list[Callable[[], Answer | None]] = [
        lambda: failure(503, "unavailable", "starting"),
        lambda: (429, b"", {}),
        lambda: None,
        lambda: None,
        lambda: None,
    ]

    def trouble(path: str, query: str) -> Answer | None:
        if "|n" in query:
            return failure(422, "execution", "too many samples")
        return chance.choice(refusals)()

    api.trouble = trouble
    assert main(arguments(api, tmp_path, "--concurrency", "3")) == 0
    assert files(tmp_path) == files(collected)


def test_as_much_is_asked_at_a_time_as_is_allowed_and_no_more(
    api: Api, collected: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(path: str, query: str) -> None:
        time.sleep(0.02)

    monkeypatch.setattr("exporter.reports.collecting.Wanted", partial(Wanted, nodes_at_once=1))
    api.trouble = slow
    for most in (1, 2):
        api.most_under_way = 0
        assert main(arguments(api, tmp_path / str(most), "--concurrency", str(most))) == 0
        assert api.most_under_way == most
        assert files(tmp_path / str(most)) == files(collected)


def test_a_server_that_goes_away_is_a_failure_and_what_is_written_stays(
    api: Api, collected: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def trouble(path: str, query: str) -> Answer | None:
        return failure(500, "internal", "disk full") if len(api.asked) > 8 else None

    api.trouble = trouble
    assert main(arguments(api, tmp_path)) == 1
    assert "disk full; what is written stays, begin again to go on" in caplog.text
    written = files(tmp_path)
    assert 0 < len(written) < HOURS
    assert written.items() <= files(collected).items()


def test_hours_without_a_sample_are_told_and_not_written(
    api: Api, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    span = ("--from", "2026-10-01T05:00", "--to", "2026-10-01T09:00")
    assert main(arguments(api, tmp_path, span=span)) == 0
    assert len(files(tmp_path)) == 2  # the nodes were there before eight
    assert "2 hours without a sample, not written: 2026-10-01T05:00Z to 2026-10-01T06:00Z" in (
        capsys.readouterr().out
    )


def test_hours_that_do_not_add_up_are_named_and_the_exit_code_is_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pods_off = {
        labels: points
        for labels, points in samples_of([replace(NODES[0], end=HOUR + 4300.0)]).items()
        if not dict(labels)["__name__"].startswith("kepler_pod")
    }
    span = ("--from", "2026-10-01T08:00", "--to", "2026-10-01T09:00")
    with Api(pods_off) as api:
        assert main(arguments(api, tmp_path, span=span)) == 1
        told = capsys.readouterr().out
        assert re.search(
            r"1 hours in which rows and meters differ by more than 1e-06 .*: 2026-10-01T08:00Z", told
        )
        assert main(arguments(api, tmp_path / "again", "--difference-bound", "0.9", span=span)) == 0


def test_a_gap_that_began_long_before_the_hour_is_booked_when_it_ends(tmp_path: Path) -> None:
    """A Prometheus that was down for three hours: what was counted meanwhile is known, and late."""
    node = Node(
        "n1",
        (replace(LONG, begin=HOUR - 14_000.0),),
        begin=HOUR - 14_400.0,
        end=HOUR + 4300.0,
        step=60.0,
        outages=[(HOUR - 9000.0, HOUR + 1800.0)],
    )
    span = ("--from", "2026-10-01T07:00", "--to", "2026-10-01T09:00")
    with Api(samples_of([node])) as api:
        assert main(arguments(api, tmp_path, span=span)) == 0
    assert len(files(tmp_path)) == 1
    late = [row for row in rows(tmp_path) if row["late"] and row["kind"] != "overhead"]
    joules = sum(float(str(row["joules"])) for row in late)
    assert joules == pytest.approx((node.watts() + 10) * 10_860 * sum(ZONES.values()), rel=1e-9)
    assert {row["covered_seconds"] for row in late} == {0.0}
    (idle,) = [row for row in rows(tmp_path) if row["kind"] == "idle" and not row["late"]]
    assert idle["covered_seconds"] == pytest.approx(1800, abs=60)


@pytest.mark.parametrize(("days", "found"), [(0.5, True), (3, True), (20, True), (40, False)])
def test_a_node_that_is_back_after_days_has_what_it_drew_and_one_that_is_new_does_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, days: float, found: bool
) -> None:
    gone = HOUR - days * 86_400.0
    back = (gone, HOUR + 1800.0)
    pod = replace(LONG, begin=gone - 900.0)
    node = Node("n1", (pod,), begin=gone - 600.0, end=HOUR + 4300.0, step=60.0, outages=[back])
    span = ("--from", "2026-10-01T08:00", "--to", "2026-10-01T09:00")
    with Api(samples_of([node])) as api:
        assert main(arguments(api, tmp_path, span=span)) == 0
    late = [row for row in rows(tmp_path) if row["late"] and row["kind"] != "overhead"]
    whole = (node.watts() + 10) * (back[1] - back[0] + 60) * sum(ZONES.values())
    assert sum(float(str(row["joules"])) for row in late) == pytest.approx(whole if found else 0.0, rel=1e-3)
    told = f"node_name n1: not scraped for {days:.1f} days before 2026-10-01T08:00Z; what its counters"
    assert (told in caplog.text) == (found and days > 1)


@pytest.mark.parametrize(("before", "after"), [(60.0, 15.0), (15.0, 40.0)])
def test_an_interval_that_changes_at_a_full_hour_loses_and_doubles_nothing(
    tmp_path: Path, before: float, after: float
) -> None:
    begun = HOUR - 9_000.0
    node = Node("n1", (LONG,), begin=begun, resets=[begun], step=before, end=HOUR + 3590.0, offset=4.0)
    last = list(node.times())[-1]
    later = replace(node, begin=last + max(before, after) - 4, step=after, end=HOUR + 9000.0)
    first, second = samples_of([node]), samples_of([later])
    span = ("--from", "2026-10-01T08:00", "--to", "2026-10-01T10:00")
    with Api({labels: [*points, *second[labels]] for labels, points in first.items()}) as api:
        assert main(arguments(api, tmp_path, span=span)) == 0
    found = [row for hour in (HOUR, HOUR + 3600) for row in rows(tmp_path, hour) if row["kind"] != "overhead"]
    joules = sum(float(str(row["joules"])) for row in found)
    assert joules == pytest.approx((node.watts() + 10) * 7200 * sum(ZONES.values()), rel=1e-9)


def test_counters_that_come_late_are_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    late = {
        labels: [each for each in points if each[0] > HOUR + 1800 or "kepler_pod" not in str(labels)]
        for labels, points in samples_of(NODES[:1]).items()
    }
    with Api(late) as api:
        main(arguments(api, tmp_path))
    told = "node_name n1: counters came onto its page with more than was used since the scrape before"
    assert [told in record.getMessage() for record in caplog.records].count(True) == 1


def test_two_jobs_that_scrape_one_exporter_count_once_and_are_told_once(
    api: Api, collected: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    again = [replace(node, target={"job": "again"}, end=node.end - 60) for node in NODES]
    with Api({**samples_of(NODES), **samples_of(again)}) as both:
        assert main(arguments(both, tmp_path)) == 0
        assert [record.args for record in caplog.records] == [("n1", 2), ("n2", 2), ("n3", 2)]
        assert main(arguments(both, tmp_path / "chosen", "--selector", 'job="podjoule"')) == 0
    assert files(tmp_path / "chosen") == files(collected)


def test_what_pods_reserve_comes_from_kube_state_metrics(tmp_path: Path) -> None:
    requests = {
        labels_of(
            name__="kube_pod_container_resource_requests", namespace="shop", pod="web-1", uid="u1", node="n1",
            container=container, resource="cpu", job="ksm",
        ): [(HOUR + 30.0 * n, cores) for n in range(120)]
        for container, cores in (("app", 0.5), ("proxy", 0.25))
    }  # fmt: skip
    span = ("--from", "2026-10-01T08:00", "--to", "2026-10-01T09:00")
    with Api({**samples_of([NODES[0]]), **requests}) as api:
        assert main(arguments(api, tmp_path, span=span)) == 0
    reserved = {
        row["workload"]: row["requested_cpu_seconds"] for row in rows(tmp_path) if row["kind"] == "active"
    }
    assert reserved["web"] == pytest.approx(0.75 * 3600)
    assert reserved["db"] is None


@pytest.mark.parametrize(
    ("more", "span", "told"),
    [
        (("--selector", 'job="x"'), RANGE, "but there is without --selector; its jobs are podjoule"),
        ((), ("--from", "2026-08-01", "--to", "2026-08-02"), "but there is later; look at --from and --to"),
        ((), ("--from", "2026-10-02", "--to", "2026-10-03"), "but there is before; look at --from and --to"),
        ((), ("--from", "2026-10-01", "--to", "2026-10-01"), "is not before --to"),
        ((), ("--from", "2026-10-01T08:30"), "which is within an hour"),
        ((), ("--from", "yesterday"), "wanted a day or an hour of UTC"),
        (("--node-groups", "gpu"), RANGE, "wanted NAME=REGEX"),
        (("--node-groups", "gpu=("), RANGE, "no regular expression"),
        (("--market-intensity", "-1"), RANGE, "allowed: g/kWh, a number from 0"),
    ],
)
def test_wrong_usage_names_the_mend(
    api: Api,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    more: Sequence[str],
    span: Sequence[str],
    told: str,
) -> None:
    assert main(arguments(api, tmp_path, *more, span=span)) == 2
    assert told in capsys.readouterr().err
    assert not files(tmp_path)


def test_a_server_without_podjoule_is_told_as_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Api({}) as api:
        assert main(arguments(api, tmp_path)) == 2
    assert "is podjoule scraped by it, and is this the right server?" in capsys.readouterr().err


def test_hours_that_are_not_over_are_left_out(
    api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("time.time", lambda: HOUR + 3600 + 599.0)
    with caplog.at_level(logging.INFO):
        assert main(arguments(api, tmp_path)) == 0
    assert not files(tmp_path)
    assert "3 hours up to 2026-10-01T11:00Z are not over, or not for ten minutes yet" in caplog.text
    monkeypatch.setattr("time.time", lambda: HOUR + 3600 + 600.0)
    assert main(arguments(api, tmp_path)) == 0
    assert len(files(tmp_path)) == 1


@pytest.mark.parametrize(
    ("since", "code", "written"), [(0.0, 0, 0), (3599.0, 0, 0), (4199.0, 0, 0), (4200.0, 0, 1), (-1.0, 2, 0)]
)
def test_up_to_now_there_may_be_no_hour_yet(
    api: Api,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    since: float,
    code: int,
    written: int,
) -> None:
    """As on the first of a month; only a range that begins in a later hour is a mistake."""
    monkeypatch.setattr("time.time", lambda: HOUR + since)
    assert main(arguments(api, tmp_path, span=RANGE[:2])) == code
    assert len(files(tmp_path)) == written
    assert code or capsys.readouterr().out.startswith(f"{written} hours collected")

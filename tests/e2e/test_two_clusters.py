"""Every query that is written anywhere, asked of a Prometheus with two clusters with nodes of the same names.

What it answers of each cluster is what a Prometheus of that cluster alone answers, in which no series has the
label cluster: nothing is refused, nothing is mixed, nothing is lost, and the label changes nothing.
"""

from __future__ import annotations

import contextlib
import math
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import yaml

from tests.deploy.written_queries import Written, of_dashboards, of_pages, of_rules, of_training, rules
from tests.e2e.servers import Prometheus
from tests.e2e.world_of_clusters import CLUSTERS, open_metrics

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

HOUR = 3600
# What is of all the chosen clusters together: one number, or how one whole divides.
TOGETHER = {
    *(f"sustainability/{panel}" for panel in ("Energy", "Emissions", "Cost", "Power", "Idle share")),
    *(f"pod/{panel}" for panel in ("Power", "Energy", "Emissions", "Cost", "CPU", "Energy of a CPU-second")),
    *("sustainability/Where the energy went", "pod/Counters"),
    *(f"gpu/{panel}" for panel in ("GPUs", "Power", "Idle share", "Reserved idle power")),
}
RATIOS = {"sustainability/Idle share", "pod/Energy of a CPU-second", "gpu/Idle share"}
# Its absence is of all clusters: there is no series whose label could be told.
OF_NO_CLUSTER = {"PodjouleAbsent"}
CHOSEN = {"__range": "1h", "__rate_interval": "5m"}

Answer = Mapping[frozenset[tuple[str, str]], float]


class Clusters:
    """Prometheus over blocks of samples, and the time at which it is to be asked."""

    def __init__(self, folder: Path, names: str, labelled: bool, end: int) -> None:
        self.end = end
        samples = folder / "samples"
        samples.write_text("".join(open_metrics(names, labelled, end - 3 * HOUR, end)))
        _promtool("create-blocks-from", "openmetrics", samples, folder / "data")
        # A rule that asks for what another records can be filled in once that is there.
        for number, file in enumerate(_recording(folder)):
            with Prometheus(folder, ()) as server:
                span = (f"--start={end - 5400}", f"--end={end}", "--eval-interval=5m")
                _promtool("create-blocks-from", "rules", f"--url={server.url}", *span,
                          f"--output-dir={folder}/made{number}", file)  # fmt: skip
            for block in (folder / f"made{number}").glob("0*"):
                block.rename(folder / "data" / block.name)
        self.server = Prometheus(folder, ())

    def ask(self, promql: str) -> Answer:
        return {frozenset(labels.items()): value for labels, value in self.server.query(promql, self.end)}


def _recording(folder: Path) -> Iterator[Path]:
    """The recording rules in two files: what asks for exported series, then what asks for recorded ones."""
    recording = [rule for rule in rules() if "record" in rule]
    for level in (False, True):
        chosen = [rule for rule in recording if (":podjoule" in rule["expr"]) is level]
        file = folder / f"rules{level}.yaml"
        file.write_text(yaml.safe_dump({"groups": [{"name": "made", "rules": chosen}]}))
        yield file


def _promtool(*arguments: str | Path) -> None:
    done = subprocess.run(["promtool", "tsdb", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Clusters]]:
    """Both clusters in one Prometheus, and each alone in one of its own."""
    end = int(time.time()) // HOUR * HOUR
    with contextlib.ExitStack() as stack:
        made = {}
        for names in ("ab", *CLUSTERS):
            folder = tmp_path_factory.mktemp(f"clusters-{names}")
            made[names] = Clusters(folder, names, labelled=len(names) > 1, end=end)
            stack.enter_context(made[names].server)
        yield made


def of_cluster(answer: Answer, name: str) -> Answer:
    """What an answer says of one cluster, without its label."""
    label = ("cluster", name)
    return {labels - {label}: value for labels, value in answer.items() if label in labels}


def same(found: Answer, alone: Answer) -> None:
    assert set(found) == set(alone)
    for labels, value in alone.items():
        assert found[labels] == pytest.approx(value, rel=1e-9, abs=1e-12), labels


@pytest.mark.parametrize("written", [*of_pages(), *of_rules(), *of_training()], ids=str)
def test_each_cluster_is_answered_as_if_it_were_alone(
    asked: Mapping[str, Clusters], written: Written
) -> None:
    # The ten greatest of both are not the ten of each: which they are is not what is asked here.
    promql = written.promql.replace("topk(10,", "topk(1000,")
    both, alone = asked["ab"].ask(promql), {name: asked[name].ask(promql) for name in CLUSTERS}
    if written.place in OF_NO_CLUSTER:
        assert (both, alone) == ({}, {"a": {}, "b": {}})
        return
    assert any(alone.values()), "no data: the world lacks what this query asks for"
    for name in CLUSTERS:
        same(of_cluster(both, name), alone[name])
    assert len(both) == sum(map(len, alone.values()))


@pytest.mark.parametrize("written", of_dashboards(**CHOSEN), ids=str)
def test_a_panel_shows_each_cluster_as_if_it_were_alone(
    asked: Mapping[str, Clusters], written: Written
) -> None:
    panel, alone = written.place.rpartition("/")[0], {}
    promql = written.promql.replace("topk(10,", "topk(1000,")
    both = asked["ab"].ask(promql)
    for name in CLUSTERS:
        alone[name] = asked[name].ask(promql)
        chosen = asked["ab"].ask(promql.replace('cluster=~".*"', f'cluster=~"{name}"'))
        same(chosen if panel in TOGETHER else of_cluster(chosen, name), alone[name])
    assert any(alone.values()), "no data: the world lacks what this panel asks for"
    if panel not in TOGETHER:
        for name in CLUSTERS:
            same(of_cluster(both, name), alone[name])
    elif panel not in RATIOS | {"sustainability/Cost", "pod/Cost"}:
        assert math.fsum(both.values()) == pytest.approx(
            math.fsum(value for answer in alone.values() for value in answer.values()), rel=1e-9
        )


@pytest.mark.parametrize(
    "rule", [rule for rule in rules() if "alert" in rule], ids=lambda rule: rule["alert"]
)
def test_an_alert_is_of_the_cluster_that_is_ill(asked: Mapping[str, Clusters], rule: dict[str, str]) -> None:
    answer = asked["ab"].ask(rule["expr"])
    assert {dict(labels)["cluster"] for labels in answer} <= {"b"}


def test_joules_are_those_of_the_worlds_counters(asked: Mapping[str, Clusters]) -> None:
    """What a join sums, worked out here: the zones that count alone, each cluster's by itself."""
    watts = asked["ab"].ask("node:podjoule_watts:rate5m")
    rates = asked["ab"].ask('rate(kepler_node_cpu_joules_total{zone=~"package|dram"}[5m])')
    rates = {**rates, **asked["ab"].ask("rate(kepler_node_gpu_joules_total[5m])")}
    for labels, value in watts.items():
        node = {name: of for name, of in labels if name in ("cluster", "node_name")}
        wanted = math.fsum(rate for of, rate in rates.items() if node.items() <= dict(of).items())
        assert value == pytest.approx(wanted, rel=1e-9)
    assert {dict(labels)["cluster"] for labels in watts} == {"a", "b"}


def test_a_query_that_joins_by_node_alone_would_be_found(asked: Mapping[str, Clusters]) -> None:
    joined = "kepler_node_cpu_watts * on (node_name, zone) group_left () podjoule_energy_zone_info"
    with pytest.raises(AssertionError, match="many-to-many"):
        asked["ab"].ask(joined)

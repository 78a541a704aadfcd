"""Rows of machines of different size make no model; what may be of several is said."""

from __future__ import annotations

import logging

import pandas as pd
import pytest

from ebpf.errors import UsageError
from estimator.training.machines import of_one_node, require_one_machine
from estimator.training.samples import clean_samples
from estimator.training.train import Recipe, Title, train

TITLE = Title("t", "2026-11-21", {})
COUNTERS = ["cpu_seconds", "cycles", "instructions", "cache_misses", "package_joules"]


@pytest.fixture
def big(table: pd.DataFrame) -> pd.DataFrame:
    """The same machine, eight times."""
    big = table.assign(node="big", n_cpu=32, timestamp_seconds=table["timestamp_seconds"] + 2.0)
    big[COUNTERS] *= 8
    return big


def test_machines_of_different_size_are_refused_by_name(table: pd.DataFrame, big: pd.DataFrame) -> None:
    samples = clean_samples(pd.concat([table, big]))
    with pytest.raises(UsageError, match=r"different size \(big: 32 CPUs in 300 rows, n1: 4 CPUs .*one node"):
        train(samples, Recipe(), TITLE)
    require_one_machine(of_one_node(samples, "n1"))
    with pytest.raises(UsageError, match="node: no row of n2 in frame; it holds big, n1"):
        of_one_node(samples, "n2")


def test_two_machines_under_one_name_are_refused(table: pd.DataFrame, big: pd.DataFrame) -> None:
    big["timestamp_seconds"] += 0.6
    both = pd.concat([table, big]).assign(node="n1")
    with pytest.raises(
        UsageError, match=r"the number of CPUs changes \d+ times .* two machines under one name"
    ):
        require_one_machine(clean_samples(both))


def test_cpus_that_were_switched_on_are_said(table: pd.DataFrame, caplog: pytest.LogCaptureFixture) -> None:
    table.loc[150:, "n_cpu"] = 8
    require_one_machine(clean_samples(table))
    assert (
        "the number of CPUs changed 1 times (n1: 4 CPUs in 150 rows, n1: 8 CPUs in 150 rows)" in caplog.text
    )


def test_machines_of_one_size_are_said(table: pd.DataFrame, caplog: pytest.LogCaptureFixture) -> None:
    require_one_machine(clean_samples(pd.concat([table, table.assign(node="n2")])))
    assert "frame holds 2 machines (n1: 4 CPUs in 300 rows, n2: 4 CPUs in 300 rows)" in caplog.text


def test_more_cpu_time_than_cpus_is_said(table: pd.DataFrame, caplog: pytest.LogCaptureFixture) -> None:
    table[["cpu_seconds"]] *= 1.5
    require_one_machine(clean_samples(table))
    assert "rows of 300 hold more CPU time than their CPUs have" in caplog.text


def test_one_machine_is_nothing_to_say(table: pd.DataFrame, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        require_one_machine(clean_samples(table))
    assert caplog.text == ""


def test_where_no_row_can_be_used_the_reason_is_said(table: pd.DataFrame) -> None:
    with pytest.raises(UsageError, match="frame: no row can be used: 300 no_interval"):
        train(clean_samples(table.assign(n_cpu=0)), Recipe(), TITLE)

"""All CPU time together is what the machine was busy: interrupts are in it, and once."""

from __future__ import annotations

import contextlib
import time

import pytest

from ebpf.program import ProgramOptions
from ebpf.source import open_source
from tests.live import loads
from tests.live.counting import read_whole
from tests.live.sandbox import cgroup, hierarchies, stop

pytestmark = [pytest.mark.live, pytest.mark.usefixtures("require_root_bpf")]


def test_no_interrupt_is_counted_twice() -> None:
    with (
        contextlib.closing(open_source("core", ProgramOptions(hierarchies()["v2"]))) as source,
        contextlib.closing(open_source("bcc", ProgramOptions(hierarchies()["v2"]))) as by_bcc,
        cgroup("flood") as group,
    ):
        floods = [group.python(loads.DATAGRAMS, "60000", cpu=cpu) for cpu in (0, 1)]
        time.sleep(0.5)
        before = [read_whole(each) for each in (source, by_bcc)]
        time.sleep(3)
        after = [read_whole(each) for each in (source, by_bcc)]
        stop(*floods)
    for then, now in zip(before, after, strict=True):
        found = now.since(then)
        by_interrupts_ns = found.by_column_ns["irq"] + found.by_column_ns["softirq"]
        assert by_interrupts_ns > 0.02 * found.most_ns, "the load is broken: a second time would hardly show"
        assert found.counted_ns <= 1.01 * found.most_ns
        assert found.counted_ns >= 0.9 * found.least_ns, "a host that steals much makes ticks say too much"

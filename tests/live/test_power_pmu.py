"""The perf meter through this kernel's own perf_event_open: a software event's PMU stands in for `power`. Its
counts of time are joules here, so that each CPU draws one watt."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from ebpf.cpus import online_cpus
from ebpf.perf_events import TYPE_SOFTWARE, Event, open_event
from estimator.meters.metered import MeteredEnergy
from estimator.meters.perf_power import PerfPowerMeter
from tests.estimator.meters.power_pmu import PowerPmu
from tests.estimator.usages import ANY_USAGE

pytestmark = [pytest.mark.live, pytest.mark.usefixtures("require_root_bpf")]

CPU_CLOCK, JOULES_A_NANOSECOND = "event=0x0", "1e-9"


def test_the_counts_of_a_real_perf_event_are_the_joules_that_its_scale_says(tmp_path: Path) -> None:
    cpus = online_cpus(Path("/sys"))
    pmu = PowerPmu(tmp_path, (), ",".join(map(str, cpus)), dict.fromkeys(cpus, 0), pmu_type=TYPE_SOFTWARE)
    pmu.add_event("energy-pkg", CPU_CLOCK, JOULES_A_NANOSECOND)
    meter = PerfPowerMeter(tmp_path, lambda pmu_type, config, cpu: open_event(Event(pmu_type, config), cpu))
    energy = MeteredEnergy(meter)
    energy.measure(ANY_USAGE)
    time.sleep(0.5)
    (told,) = energy.measure(ANY_USAGE)
    assert told.joules == pytest.approx(len(cpus) * told.interval_seconds, rel=0.005)
    meter.close()

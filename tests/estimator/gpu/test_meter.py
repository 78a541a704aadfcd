"""GPUs as a meter: a minute of known truth, with restart and reset; and what a driver does wrong."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import pytest

from estimator.gpu.activity import Activity, ActivityLog, Look, Process, together
from estimator.gpu.meter import PERIOD_SECONDS, GpuMeter, NoPids
from estimator.gpu.nvml import NvmlLibrary
from estimator.gpu.port import GpuError
from estimator.meters.metered import MeteredEnergy
from exporter.tick.gpu_watch import GpuWatch
from tests.estimator.gpu.plant import Load, Plant, PlantedGpu
from tests.estimator.usages import ANY_USAGE

NO_COUNTER = "fail nvmlDeviceGetTotalEnergyConsumption 3"
TICK_SECONDS = 5.0


class KnownPids:
    """Processes in cgroups of ten times their PID, as long as they are there."""

    def __init__(self, plant: Plant) -> None:
        self._plant = plant

    def cgroups(self, pids: Collection[int]) -> Mapping[int, int]:
        now = self._plant.seconds or 0.0
        alive = {load.pid for load in self._plant.loads if load.begin <= now < load.end}
        return {pid: 10 * pid for pid in pids if pid in alive}

    def close(self) -> None:
        pass


def meter_of(plant: Plant, seen: ActivityLog | None = None) -> GpuMeter:
    library = NvmlLibrary(lambda: plant.unix_seconds)
    return GpuMeter(library, seen or ActivityLog(), KnownPids(plant), lambda: plant.boottime_ns)


def metered(plant: Plant) -> tuple[GpuMeter, MeteredEnergy]:
    meter = meter_of(plant)
    return meter, MeteredEnergy(meter, suspended_ns=lambda: 0)


def moments(begin: float, end: float, step: float) -> Iterator[float]:
    return (begin + step * i for i in range(1 + round((end - begin) / step)))


def drawn(plant: Plant, meter: GpuMeter, energy: MeteredEnergy, begin: float, end: float) -> float:
    """The joules of all ticks, while the meter is read ten times a second as its thread does it."""
    joules = 0.0
    for at in moments(begin, end, PERIOD_SECONDS):
        plant.at(at)
        if abs(at % TICK_SECONDS) < PERIOD_SECONDS / 2:
            joules += sum(each.joules for each in energy.measure(ANY_USAGE))
        else:
            energy.poll()
    return joules


def busy_plant(plant: Plant) -> Plant:
    plant.gpus = [PlantedGpu("GPU-a")]
    plant.loads = [Load(0, 5, 50, 250.0, begin=7.3), Load(0, 3, 30, 150.0, begin=21.0, end=44.45)]
    plant.at(0.0)
    return plant


@pytest.mark.parametrize("faults", [[], [NO_COUNTER]], ids=["counter", "watts"])
def test_a_minute_is_what_was_drawn(plant: Plant, faults: list[str]) -> None:
    busy_plant(plant).faults = faults
    plant.at(0.0)
    joules = drawn(plant, *metered(plant), 0.0, 60.0)
    assert joules == pytest.approx(plant.joules(0, 0.0, 60.0), rel=5e-3)


def test_a_restart_in_the_middle_loses_nothing_of_a_counter(plant: Plant) -> None:
    before = metered(busy_plant(plant))
    joules = drawn(plant, *before, 0.0, 30.0)
    meter, energy = metered(plant)
    energy.resume(before[1].last)
    joules += drawn(plant, meter, energy, 40.0, 60.0)
    assert joules == pytest.approx(plant.joules(0, 0.0, 60.0), rel=5e-3)


def test_watts_of_the_time_between_two_processes_are_not_made_up(plant: Plant) -> None:
    busy_plant(plant).faults = [NO_COUNTER]
    plant.at(0.0)
    before = metered(plant)
    joules = drawn(plant, *before, 0.0, 30.0)
    meter, energy = metered(plant)
    energy.resume(before[1].last)
    joules += drawn(plant, meter, energy, 40.0, 60.0)
    known = plant.joules(0, 0.0, 30.0) + plant.joules(0, 40.0, 60.0)
    assert joules == pytest.approx(known, rel=5e-3)


def test_a_counter_that_begins_anew_is_a_gap_and_goes_on(plant: Plant) -> None:
    meter, energy = metered(busy_plant(plant))
    joules = drawn(plant, meter, energy, 0.0, 30.0)
    plant.gpus[0].base_joules, plant.gpus[0].since = 0.0, 30.05
    joules += drawn(plant, meter, energy, 30.1, 60.0)
    assert joules == pytest.approx(plant.joules(0, 0.0, 60.0), rel=0.02)
    assert joules <= plant.joules(0, 0.0, 60.0) * (1 + 5e-3)
    assert energy.errors()["gap"] == 1


def test_integrated_watts_say_how_far_they_may_be_off(plant: Plant) -> None:
    busy_plant(plant).faults = [NO_COUNTER]
    plant.at(0.0)
    energy = MeteredEnergy(meter_of(plant), suspended_ns=lambda: 0)
    energy.measure(ANY_USAGE)
    for at in moments(0.1, 9.9, PERIOD_SECONDS):
        plant.at(at)
        energy.poll()
    (told,) = energy.measure(ANY_USAGE)
    assert told.low_joules < told.joules < told.high_joules
    assert told.low_joules <= plant.joules(0, 0.0, 9.9) <= told.high_joules


def test_one_gpu_that_fails_costs_itself_alone(plant: Plant) -> None:
    plant.gpus = [PlantedGpu("GPU-a"), PlantedGpu("GPU-b", address="00000000:42:00.0")]
    plant.at(0.0)
    meter = meter_of(plant)
    library = meter._library
    energy_uj = library.energy_uj

    def failing(gpu: object) -> int | None:
        if gpu is meter._gpus[0]:
            raise GpuError("reading the energy of GPU-a: GPU is lost")
        return energy_uj(gpu)  # type: ignore[arg-type]

    library.energy_uj = failing  # type: ignore[method-assign]
    assert [reading.path for reading in meter.read()] == ["GPU-b"]
    assert [(error.path, error.vanished) for error in meter.errors] == [("GPU-a", False)]


def test_a_gpu_that_went_is_said_once(plant: Plant) -> None:
    plant.gpus = [PlantedGpu("GPU-a"), PlantedGpu("GPU-b")]
    plant.at(0.0)
    meter = meter_of(plant)
    meter.read()
    del plant.gpus[1]
    plant.at(20.0)
    assert [reading.path for reading in meter.read()] == ["GPU-a"]
    assert [(error.message, error.vanished) for error in meter.errors] == [("GPU 1 is gone", True)]
    plant.at(40.0)
    meter.read()
    assert meter.errors == []


def seen_by(looks: list[Look], place: str) -> Activity:
    return together([look.by_place[place] for look in looks if place in look.by_place])


def test_a_process_that_ends_between_two_looks_keeps_its_part(plant: Plant) -> None:
    plant.gpus = [PlantedGpu("GPU-a")]
    plant.loads = [Load(0, 5, 40, 100.0, begin=0.5, end=3.55), Load(0, 3, 40, 100.0, begin=0.5)]
    plant.at(0.0)
    seen = ActivityLog()
    meter = meter_of(plant, seen)
    for at in moments(0.0, 5.0, PERIOD_SECONDS):
        plant.at(at)
        meter.read()
    activity = seen_by(seen.take(), "GPU-a")
    assert activity.seconds == pytest.approx(5.0)
    assert activity.busy[Process(50, 5)] == pytest.approx(0.4 * 3.05, rel=0.2)
    assert activity.unknown_seconds == 0.0


def test_a_process_that_nobody_saw_alive_is_unknown(plant: Plant) -> None:
    plant.gpus = [PlantedGpu("GPU-a")]
    plant.loads = [Load(0, 5, 40, 100.0, begin=1.2, end=1.8)]
    plant.at(0.0)
    seen = ActivityLog()
    meter = meter_of(plant, seen)
    for at in moments(0.0, 3.0, 1.0):
        plant.at(at)
        meter.read()
    activity = seen_by(seen.take(), "GPU-a")
    assert activity.is_unknown
    assert activity.unknown_seconds > 0
    assert not activity.busy


def test_processes_that_cannot_be_read_are_said_and_not_taken_for_none(plant: Plant) -> None:
    plant.gpus = [PlantedGpu("GPU-a")]
    plant.faults = ["fail nvmlDeviceGetComputeRunningProcesses_v3 15"]
    plant.at(0.0)
    seen = ActivityLog()
    meter = meter_of(plant, seen)
    meter.read()
    plant.at(1.0)
    meter.read()
    assert "reading the processes of GPU-a: GPU is lost" in meter.errors[0].message
    assert seen_by(seen.take(), "GPU-a").untold_seconds == 1.0


def until(is_so: object, seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not is_so():  # type: ignore[operator]
        assert time.monotonic() < end, "it does not come to be"
        time.sleep(0.02)


def test_a_library_that_hangs_holds_no_tick_and_loses_nothing(plant: Plant) -> None:
    plant.seconds, plant.origin = None, time.time()
    plant.gpus = [PlantedGpu("GPU-a", idle_watts=300.0)]
    plant.write()
    watch = GpuWatch("nvml", NvmlLibrary, NoPids())
    energy = MeteredEnergy(watch)
    until(lambda: energy.measure(ANY_USAGE))
    begin = energy.last["GPU-a"]
    plant.faults = ["hang nvmlDeviceGetTotalEnergyConsumption"]
    plant.write()
    time.sleep(2 * PERIOD_SECONDS)
    joules, longest = 0.0, 0.0
    for _ in range(100):  # one that waited for the library would wait for as long as it hangs
        started = time.thread_time()
        joules += sum(each.joules for each in energy.measure(ANY_USAGE))
        longest = max(longest, time.thread_time() - started)
        time.sleep(0.005)
    assert longest < 0.01
    plant.faults = []
    plant.write()
    told: list[float] = []
    until(lambda: told.extend(each.joules for each in energy.measure(ANY_USAGE)) or told)
    end = energy.last["GPU-a"]
    watch.close()
    seconds = (end.boottime_ns - begin.boottime_ns) / 1e9
    assert joules + sum(told) == pytest.approx(300.0 * seconds, rel=0.02)


def test_a_library_that_is_not_there_yet_is_asked_for_again(plant: Plant, tmp_path: Path) -> None:
    plant.gpus = [PlantedGpu("GPU-a")]
    plant.seconds, plant.faults = None, ["fail nvmlInitWithFlags 9"]
    plant.write()
    watch = GpuWatch("nvml", NvmlLibrary, NoPids())
    until(lambda: watch.read() or watch.errors)
    assert watch.errors[0].message == "cannot be read: starting NVML: the nvidia kernel module is not loaded"
    plant.faults = []
    plant.write()
    until(watch.read)
    watch.close()

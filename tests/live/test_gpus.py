"""`podjoule run` on a machine with a GPU: the real command, cgroups and PIDs under a planted library."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e.servers import Podjoule, after_another_tick
from tests.estimator.gpu.plant import Load, Plant, PlantedGpu, compile_library
from tests.estimator.meters.rapl_tree import RaplTree
from tests.exporter.nodes import Samples, of, parse
from tests.live.sandbox import Cgroup, cgroup, stop

pytestmark = [pytest.mark.live, pytest.mark.usefixtures("require_root_bpf")]

SHARES = {5: (50, 200.0), 3: (30, 120.0), 2: (20, 80.0)}
IDLE_WATTS = 60.0


@pytest.fixture
def group() -> Iterator[Cgroup]:
    with cgroup("gpus") as made:
        yield made


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    """A GPU that idles, by the machine's own clock."""
    RaplTree.two_sockets(tmp_path / "sys")
    (tmp_path / "sys/module/nvidia").mkdir(parents=True)
    compile_library(tmp_path)
    planted = Plant(tmp_path / "plant", [PlantedGpu("GPU-a", idle_watts=IDLE_WATTS)], origin=time.time())
    planted.seconds = None
    planted.write()
    return planted


def podjoule(folder: Path, *arguments: str) -> Podjoule:
    return Podjoule(
        "--monitor.interval=1s",
        f"--host.sysfs={folder / 'sys'}",
        *arguments,
        log=folder / "log",
        environment={"LD_LIBRARY_PATH": str(folder), "NVML_PLANT": str(folder / "plant")},
    )


def page(server: Podjoule) -> Samples:
    return parse(after_another_tick(f"{server.url}/metrics"))


def container_joules(samples: Samples, number: int) -> float:
    return of(samples, "kepler_container_gpu_joules_total", container_id=f"{number:064x}")


def test_containers_on_a_gpu_are_told_by_their_processes(tmp_path: Path, plant: Plant, group: Cgroup) -> None:
    with ExitStack() as stack:
        server = stack.enter_context(podjoule(tmp_path))
        begin = page(server)
        assert of(begin, "kepler_node_gpu_watts", gpu_uuid="GPU-a") == pytest.approx(IDLE_WATTS, rel=5e-3)
        now = time.time() - plant.origin
        for number, (sm, watts) in SHARES.items():
            process = group.child(f"{number:064x}").make().python("import time; time.sleep(300)")
            stack.callback(stop, process)
            plant.loads.append(Load(0, process.pid, sm, watts, begin=now))
        plant.write()
        page(server)
        before, started = page(server), time.monotonic()
        time.sleep(6)
        after = page(server)
        grown = {
            number: container_joules(after, number) - container_joules(before, number) for number in SHARES
        }
        total = sum(grown.values())
        shares = [grown[number] / total for number in SHARES]
        assert shares == pytest.approx([0.5, 0.3, 0.2], rel=0.02)
        assert total / (time.monotonic() - started) == pytest.approx(400.0, rel=0.25)
        watts = of(after, "kepler_node_gpu_watts", gpu_uuid="GPU-a")
        assert watts == pytest.approx(IDLE_WATTS + 400.0, rel=5e-3)
        assert of(after, "podjoule_conservation_error_ratio", zone="gpu") < 1e-9
    log = (tmp_path / "log").read_text()
    assert "energy of GPUs is measured: nvml" in log
    assert "capabilities given up" in log


def test_a_driver_that_hangs_is_said_and_holds_no_tick(tmp_path: Path, plant: Plant) -> None:
    with podjoule(tmp_path) as server:
        page(server)
        usual = min(of(page(server), "podjoule_tick_duration_seconds") for _ in range(3))
        plant.faults = ["hang nvmlDeviceGetTotalEnergyConsumption"]
        plant.write()
        time.sleep(6)
        slow = min(of(page(server), "podjoule_tick_duration_seconds") for _ in range(3))
        assert slow < usual + 0.01
        assert "nvml: does not answer: waiting for it, ticks go on" in (tmp_path / "log").read_text()
        plant.faults = []
        plant.write()
        page(server)
        hung, started = of(page(server), "kepler_node_gpu_joules_total"), time.time()
        assert hung == pytest.approx(IDLE_WATTS * (started - plant.origin), rel=0.25)


def test_a_restart_goes_on_and_knows_what_idling_draws(tmp_path: Path, plant: Plant, group: Cgroup) -> None:
    state = f"--state.dir={tmp_path / 'state'}"
    (tmp_path / "state").mkdir()
    with podjoule(tmp_path, state) as server:
        page(server)
        before = of(page(server), "kepler_node_gpu_joules_total")
    process = group.child(f"{5:064x}").make().python("import time; time.sleep(300)")
    plant.loads.append(Load(0, process.pid, 100, 200.0))
    plant.write()
    with podjoule(tmp_path, state) as server:
        page(server)
        after = page(server)
    stop(process)
    assert of(after, "kepler_node_gpu_joules_total") > before > 0
    assert of(after, "kepler_node_gpu_idle_watts") == pytest.approx(IDLE_WATTS, rel=0.02)
    assert of(after, "podjoule_idle_method_info", zone="gpu", method="unused") == 1.0


def test_a_driver_of_two_versions_is_said_in_a_line(tmp_path: Path, plant: Plant) -> None:
    plant.faults = ["fail nvmlInitWithFlags 18"]
    plant.write()
    with podjoule(tmp_path) as server:
        page(server)
    (line, *_) = [each for each in (tmp_path / "log").read_text().splitlines() if "nvml: cannot" in each]
    assert "the driver's library and kernel module are of two versions: reboot" in line


def test_a_meter_that_is_left_out_is_not_opened(tmp_path: Path, plant: Plant) -> None:
    with podjoule(tmp_path, "--meters.preferred=rapl") as server:
        assert not of(page(server), "kepler_node_gpu_info")
    assert "nvml" not in (tmp_path / "log").read_text()

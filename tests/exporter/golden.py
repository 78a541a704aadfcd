"""Pages of a small node whose every number is known: `python -m tests.exporter.golden` writes them anew."""

from __future__ import annotations

import tempfile
from pathlib import Path
from unittest.mock import patch

from ebpf.cgroups import KERNEL_PATH
from ebpf.counters import KernelStatistics
from estimator.gpu.activity import Activity, ActivityLog, Look, Process
from estimator.gpu.port import Gpu
from estimator.machine.cpuinfo import Processor
from exporter.configuration.tariff_options import Cost
from exporter.metrics.exposition import Renderer
from exporter.tick.components import Components
from exporter.tick.gpus import Gpus
from tests.exporter.nodes import FIXTURES, NODE, Node, container, in_pod, write_process

PAGES = FIXTURES / "pages"
VM = r"/machine.slice/machine-qemu\x2d1\x2dweb.scope"
USER = "/user.slice/user-1000.slice"
GPU = Gpu(0, "gpu-0", "NVIDIA Made Up", "nvidia")
CPU = Processor("0", "GenuineIntel", 'Intel(R) Xeon(R) \\ "made up"', "0", "0")


def plain(openmetrics: bool = False) -> str:
    """The default levels on two zones."""
    node = Node(zones=("package", "dram"))
    return _play(node, openmetrics)


def everything() -> str:
    """All levels, idle energy shared out, what it costs, and a GPU that a pod holds."""
    seen = ActivityLog()
    with tempfile.TemporaryDirectory() as folder:
        write_process(Path(folder), 100, 'ng"inx\\', "/usr/sbin/nginx")
        node = Node(
            zones=("package", "gpu"),
            procfs=Path(folder),
            levels=(*NODE, "process"),
            idle_policy="proportional",
            cost=Cost(price_per_kwh=0.25, currency="EUR"),
            gpus=Gpus([seen], idle_watts=5.0, by_process=True),
        )
        ids = {path: node.source.add(path) for path in (container(1), in_pod(2), VM, USER)}
        ran = {Process(cgroup_id, 100 + i): 1.0 for i, cgroup_id in enumerate(ids.values())}
        seen.add(Look((GPU,), {GPU.uuid: Activity(5.0, ran, busy_seconds=4.0)}))
        return _play(node)


def _play(node: Node, openmetrics: bool = False) -> str:
    """Two ticks, and the families as they would be rendered, whatever the machine and the version."""
    node.measurement.components = Components(clock=lambda: 0.0)
    node.source.statistics_now = KernelStatistics({"on_switch": 1000}, {"on_switch": 57_000}, 6, 250, 1)
    for path in (container(1), in_pod(2), in_pod(3), VM, "/system.slice/ssh.service"):
        node.source.add(path)
    node.advance()
    node.source.use(container(1), 1.0, tgid=100, cycles=3_000_000_000, instructions=10, cache_misses=7)
    node.source.use(in_pod(2), 2.0, cpu=1)
    node.source.use(VM, 1.0)
    node.source.use(KERNEL_PATH, 0.5)
    node.source.drop(0.5)
    node.draw(60.5)
    node.draw(8.25, "dram")
    node.draw(50.0, "gpu")
    tick = node.advance()
    collector = node.publisher._collector
    collector._processors = [CPU]
    levels = node.config.exporter.prometheus.metrics_level
    with patch("exporter.metrics.collect.VERSION", "1.2.3"):
        families = collector.measured(tick, levels, ticks=2, duration_seconds=0.0125)
    return Renderer().render(families, openmetrics).decode()


FILES = {
    "plain.prom": plain,
    "plain.openmetrics": lambda: plain(openmetrics=True),
    "everything.prom": everything,
}

if __name__ == "__main__":
    PAGES.mkdir(exist_ok=True)
    for name, make in FILES.items():
        (PAGES / name).write_text(make())

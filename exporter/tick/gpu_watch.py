"""GPUs read in a thread of their own, and where their processes are."""

from __future__ import annotations

import logging
from collections.abc import Callable

from ebpf.errors import Unavailable
from ebpf.hierarchy import find_hierarchy
from ebpf.pids import open_pids
from estimator.gpu.activity import ActivityLog
from estimator.gpu.meter import PERIOD_SECONDS, GpuMeter, NoPids, Pids
from estimator.gpu.port import GpuLibrary
from estimator.meters.background import BackgroundMeter
from exporter.configuration.config import Config

log = logging.getLogger("exporter.power")

_DEADLINE_SECONDS = 5.0


class GpuWatch(BackgroundMeter):
    """The GPUs that a library knows. seen: what ran on them, for who shares their energy out."""

    def __init__(self, name: str, open_library: Callable[[], GpuLibrary], pids: Pids) -> None:
        self.seen = ActivityLog()

        def open_meter() -> GpuMeter:
            return GpuMeter(open_library(), self.seen, pids)

        super().__init__(name, open_meter, PERIOD_SECONDS, _DEADLINE_SECONDS, zones={"gpu"})


def watch(config: Config, name: str, open_library: Callable[[], GpuLibrary]) -> GpuWatch:
    """A watch that begins with the first tick. What tells where processes are is opened at once: it may take
    rights that are given up later."""
    found = GpuWatch(name, open_library, _pids(config))
    log.info("energy of GPUs is measured: %s", name)
    return found


def _pids(config: Config) -> Pids:
    host = config.host
    try:
        hierarchy = find_hierarchy(config.ebpf.cgroup_hierarchy, host.cgroupfs, host.procfs)
        return open_pids(hierarchy, host.procfs, config.ebpf.btf)
    except Unavailable as error:
        log.warning("which process is in which container is not known, on GPUs: %s", error)
        return NoPids()

"""Putting a measurement together from a configuration."""

from __future__ import annotations

from ebpf.hierarchy import find_hierarchy
from ebpf.program import ProgramOptions
from ebpf.source import open_source
from estimator.cpu_topology import read_topology
from exporter.config import Config
from exporter.container_names import ContainerNames
from exporter.ledger import Ledger
from exporter.measurement import Measurement
from exporter.pod_directory import open_pods
from exporter.power import choose_power
from exporter.processes import ProcessLedger
from exporter.register import Lifetimes
from exporter.resolver import WorkloadResolver


def assemble(config: Config) -> Measurement:
    """Open the best counter source and power source there are.

    Raises SourceUnavailable where nothing can be counted, ModelInvalid for a bad model file.
    """
    host = config.host
    by_process = "process" in config.exporter.prometheus.metrics_level
    options = ProgramOptions(
        hierarchy=find_hierarchy(config.ebpf.cgroup_hierarchy, host.cgroupfs, host.procfs),
        sysfs=host.sysfs,
        procfs=host.procfs,
        map_entries=config.ebpf.map_entries,
        by_process=by_process,
    )
    source = open_source(config.ebpf.loader, options)
    try:
        power = choose_power(config, source.read().available)
    except BaseException:
        source.close()
        raise
    names = ContainerNames()
    resolver = WorkloadResolver(source.directory, names, open_pods(config.kube))
    lifetimes = Lifetimes(terminated_ttl_seconds=config.monitor.terminated_ttl_seconds)
    return Measurement(
        config=config,
        source=source,
        power=power,
        topology=read_topology(host.sysfs),
        resolver=resolver,
        ledger=Ledger(resolver, source.directory.is_alive, lifetimes, resolver.again),
        processes=ProcessLedger(host.procfs, resolver, lifetimes) if by_process else None,
    )

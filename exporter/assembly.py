"""Putting a measurement together from a configuration."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import replace

from ebpf.hierarchy import find_hierarchy
from ebpf.program import ProgramOptions
from ebpf.source import open_source
from estimator.cpu_topology import read_topology
from exporter.config import Config
from exporter.container_names import ContainerNames, host_root
from exporter.continuity import open_keeper
from exporter.grid.choice import open_tariffs
from exporter.kube.directory import open_pods
from exporter.ledger import Ledger
from exporter.measurement import Keeper, KeepsNothing, Measurement
from exporter.power import choose_power
from exporter.processes import ProcessLedger
from exporter.register import Lifetimes
from exporter.resolver import WorkloadResolver


def assemble(
    config: Config, attached: Callable[[], None] = lambda: None, *, is_lasting: bool = False
) -> Measurement:
    """Open the best counter source and power source there are.

    attached: called once both are open and before any thread is started: from there on less is needed.
    is_lasting: go on from what the one before left, and leave what the next one needs.

    Raises SourceUnavailable where nothing can be counted, ModelInvalid for a bad model file, UsageError for
    options that do not fit each other.
    """
    host = config.host
    by_process = "process" in config.exporter.prometheus.metrics_level
    options = ProgramOptions(
        hierarchy=find_hierarchy(config.ebpf.cgroup_hierarchy, host.cgroupfs, host.procfs),
        sysfs=host.sysfs,
        procfs=host.procfs,
        map_entries=config.ebpf.map_entries,
        by_process=by_process,
        btf=config.ebpf.btf,
    )
    with contextlib.ExitStack() as undo:
        keeper: Keeper = KeepsNothing()
        if is_lasting:
            keeper = open_keeper(config)
            undo.callback(keeper.close)
            options = replace(options, pin=config.ebpf.pin, kept=keeper.source)
        source = open_source(config.ebpf.loader, options)
        undo.callback(source.close)
        power = choose_power(config, source.read().available)
        undo.callback(power.close)
        attached()
        tariffs = open_tariffs(config.carbon, config.cost)
        undo.callback(tariffs.close)
        pods = open_pods(config.kube)
        undo.pop_all()
    names = ContainerNames(host_root(host.procfs, os.environ))
    resolver = WorkloadResolver(source.directory, names, pods)
    lifetimes = Lifetimes(terminated_ttl_seconds=config.monitor.terminated_ttl_seconds)
    measurement = Measurement(
        config=config,
        source=source,
        power=power,
        topology=read_topology(host.sysfs),
        resolver=resolver,
        ledger=Ledger(resolver, source.directory.is_alive, lifetimes, resolver.again),
        processes=ProcessLedger(host.procfs, resolver, lifetimes) if by_process else None,
        tariffs=tariffs,
        keeper=keeper,
    )
    keeper.restore(measurement)
    return measurement

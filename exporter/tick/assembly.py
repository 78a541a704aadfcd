"""Putting a measurement together from a configuration."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from ebpf.cpu_stat import CpuStatSource
from ebpf.hierarchy import find_hierarchy
from ebpf.program import ProgramOptions
from ebpf.source import open_source
from estimator.gpu.activity import ActivityLog
from estimator.machine.topology import read_topology
from estimator.meters.several import SeveralMeters
from exporter.books.ledger import Ledger
from exporter.books.processes import ProcessLedger
from exporter.books.row_lifetimes import Lifetimes
from exporter.configuration.config import Config
from exporter.names.container_names import ContainerNames, host_root
from exporter.names.devices.opening import open_devices
from exporter.names.devices.pod_cgroups import PodCgroups
from exporter.names.devices.port import DeviceDirectory, NoDevices
from exporter.names.kube.directory import open_pods
from exporter.names.resolver import WorkloadResolver
from exporter.tariffs.choice import open_tariffs
from exporter.tick.gpu_idle_file import FILE, GpuIdleFile
from exporter.tick.gpus import Gpus
from exporter.tick.measurement import Keeper, Measurement
from exporter.tick.power import Power, choose_power

if TYPE_CHECKING:
    from exporter.guests.shares import GuestShares


def assemble(
    config: Config,
    attached: Callable[[], None] = lambda: None,
    keeper: Keeper | None = None,
    guests: GuestShares | None = None,
) -> Measurement:
    """Open the best counter source and power source there are.

    attached: called once both are open and before any thread is started: from there on less is needed.
    keeper: what outlives the process; with one, go on from what the process before this one left, and leave
    what the next one needs. guests: who writes down for virtual machines what they were billed.

    Raises SourceUnavailable where nothing can be counted, ModelInvalid for a bad model file, UsageError for
    options that do not fit each other.
    """
    host = config.host
    by_process = "process" in config.exporter.prometheus.metrics_level
    with contextlib.ExitStack() as undo:
        if keeper is not None:
            undo.callback(keeper.close)
        if guests is not None:
            undo.callback(guests.close)
        options = ProgramOptions(
            hierarchy=find_hierarchy(config.ebpf.cgroup_hierarchy, host.cgroupfs, host.procfs),
            sysfs=host.sysfs,
            procfs=host.procfs,
            map_entries=config.ebpf.map_entries,
            by_process=by_process,
            btf=config.ebpf.btf,
        )
        if keeper is not None:
            options = replace(options, pin=config.ebpf.pin, kept=keeper.source)
        source = open_source(config.ebpf.loader, options)
        undo.callback(source.close)
        power = choose_power(config, source.read().available)
        undo.callback(power.close)
        attached()
        tariffs = open_tariffs(config.carbon, config.cost)
        undo.callback(tariffs.close)
        pods = open_pods(config.kube, tell_type=power.tell)
        undo.callback(pods.close)
        has_gpus = power.meter is not None and "gpu" in power.meter.zones
        devices: DeviceDirectory = open_devices(config.kube, pods) if has_gpus else NoDevices()
        undo.pop_all()
    names = ContainerNames(host_root(host.procfs, os.environ))
    resolver = WorkloadResolver(source.directory, names, pods)
    lifetimes = Lifetimes(
        config.monitor.terminated_ttl_seconds, silence_seconds=config.kube.names_timeout_seconds
    )
    processes = (
        ProcessLedger(host.procfs, resolver, lifetimes, counts_by_procfs=source.name == CpuStatSource.name)
        if by_process
        else None
    )
    measurement = Measurement(
        config=config,
        source=source,
        power=power,
        topology=read_topology(host.sysfs),
        resolver=resolver,
        ledger=Ledger(
            resolver, source.directory.is_alive, lifetimes, resolver.again, lambda: source.directory.revision
        ),
        processes=processes,
        tariffs=tariffs,
        keeper=keeper,
        gpus=_gpus(config, power, devices, PodCgroups(source.directory, resolver, devices)),
        devices=devices,
        guests=guests,
    )
    measurement.keeper.restore(measurement)
    return measurement


def _gpus(config: Config, power: Power, devices: DeviceDirectory, cgroup_of_pod: PodCgroups) -> Gpus:
    return Gpus(
        _seen(power.meter) if power.meter and "gpu" in power.meter.zones else (),
        idle_watts=config.gpu.idle_watts,
        idle_file=GpuIdleFile(config.state.dir / FILE if config.state.dir else None),
        by_process="process" in config.exporter.prometheus.metrics_level,
        is_reserved_idle=config.gpu.idle_policy == "reserved",
        holders=devices.holders,
        cgroup_of_pod=cgroup_of_pod,
    )


def _seen(meters: SeveralMeters) -> list[ActivityLog]:
    from exporter.tick.gpu_watch import GpuWatch  # for machines that have GPUs

    return [each.meter.seen for each in meters.meters if isinstance(each.meter, GpuWatch)]

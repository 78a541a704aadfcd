"""The doctor: can the exporter run here, what is lost, and how to mend it."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from exporter.configuration.config import Config
from exporter.doctor.finding import Check, Machine
from exporter.doctor.guest_checks import check_guests
from exporter.doctor.host_checks import check_cgroups, check_cpu_stat, check_pmu, check_rapl
from exporter.doctor.keeping_checks import check_pins, check_state
from exporter.doctor.kernel_checks import (
    check_bpf,
    check_btf,
    check_capabilities,
    check_kernel,
    check_kernel_config,
    check_tracefs,
)
from exporter.doctor.loader_checks import check_bcc, check_core_object, check_libbpf, check_programs
from exporter.doctor.meter_checks import check_meters, try_meters
from exporter.doctor.model_checks import check_model
from exporter.doctor.otlp_checks import check_otlp
from exporter.plain_text import aligned

# What each source of counters stands on; the first that can serve is taken.
_STANDS_ON = {
    "core": ("kernel", "btf", "bpf()", "libbpf", "core object", "programs", "cgroups"),
    "bcc": ("bpf()", "bcc", "cgroups"),
    "cpu.stat": ("cpu.stat",),
}
_ALLOWED = {"auto": ("core", "bcc", "cpu.stat"), "core": ("core",), "bcc": ("bcc",), "none": ("cpu.stat",)}


def doctor(config: Config, output: str, environ: Mapping[str, str]) -> int:
    """Print every check as "table" or "json": 0, or 1 where the exporter could not run."""
    host = config.host
    machine = Machine(host.sysfs, host.procfs, host.cgroupfs, host.powercap, environ=environ)
    checks = examine(machine, config)
    sys.stdout.write(as_json(checks) if output == "json" else as_table(checks))
    return 0 if can_run(checks) else 1


def examine(machine: Machine, config: Config) -> list[Check]:
    """Every check, in the order of the path from the kernel to the meter; the verdict last."""
    by_process = "process" in config.exporter.prometheus.metrics_level
    meters = try_meters(machine, config)
    checks = [
        check_kernel(machine),
        check_kernel_config(machine),
        check_btf(machine, config.ebpf.btf),
        check_bpf(machine),
        check_capabilities(machine, by_process=by_process),
        check_libbpf(machine),
        check_core_object(machine),
        check_programs(machine, config.ebpf, by_process=by_process),
        check_pmu(machine),
        check_cgroups(machine, config.ebpf.cgroup_hierarchy),
        check_cpu_stat(machine, config.ebpf.cgroup_hierarchy),
        check_rapl(machine, is_alone=not meters.has_cpu),
        check_meters(meters),
    ]
    checks.append(check_model(machine, config, _counted(machine, checks), has_meter=meters.has_cpu))
    needs_bcc = config.ebpf.loader == "bcc" or not _stands("core", checks)
    checks += [check_tracefs(machine, needed=needs_bcc), check_bcc(machine, needed=needs_bcc)]
    if config.ebpf.pin is not None:
        checks.append(check_pins(config.ebpf.pin))
    if config.state.dir is not None:
        checks.append(check_state(config.state.dir))
    if config.vm.share_dir is not None:
        checks.append(check_guests(config.vm.share_dir, machine.procfs))
    if config.otlp.endpoint is not None:
        checks.append(check_otlp(config))
    return [*checks, verdict(checks, config.ebpf.loader)]


def _counted(machine: Machine, checks: Sequence[Check]) -> frozenset[str]:
    """What the exporter would count here, by the names in ebpf.counters.FIELDS."""
    if not (_stands("core", checks) or any(check.name == "bpf()" and check.ok for check in checks)):
        return frozenset({"cpu_ns"})
    try:
        tried = machine.try_events(machine.sysfs)
    except (OSError, ValueError):
        tried = {}
    return frozenset({"cpu_ns", *(name for name, failed in tried.items() if not failed)})


def verdict(checks: Sequence[Check], loader: str) -> Check:
    """Which source of counters the exporter would take; a fail where the loader asked for allows none."""
    allowed = _ALLOWED[loader]
    serving = next((source for source in allowed if _stands(source, checks)), None)
    if serving:
        return Check("counters", "ok", f"from {serving}", required=True)
    found = f"none can be had with --ebpf.loader {loader}: {_lacking(allowed, checks)}"
    return Check("counters", "fail", found, _mend(allowed[0], checks), required=True)


def can_run(checks: Sequence[Check]) -> bool:
    """Whether no required check failed."""
    return not any(check.required and check.status == "fail" for check in checks)


def as_table(checks: Sequence[Check]) -> str:
    """One line a check: status, name, what was found, and how to mend it."""
    return aligned(
        [
            [check.status, check.name, " -> ".join(filter(None, (check.found, check.mend)))]
            for check in checks
        ],
        range(3),
    )


def as_json(checks: Sequence[Check]) -> str:
    """`{"can_run": bool, "checks": [{"name", "status", "found", "mend", "required"}]}`."""
    return (
        json.dumps({"can_run": can_run(checks), "checks": [asdict(check) for check in checks]}, indent=2)
        + "\n"
    )


def _stands(source: str, checks: Sequence[Check]) -> bool:
    good = {check.name for check in checks if check.ok}
    return all(name in good for name in _STANDS_ON[source])


def _lacking(sources: Sequence[str], checks: Sequence[Check]) -> str:
    bad = {check.name for check in checks if not check.ok}
    return "; ".join(
        f"{source} lacks {', '.join(name for name in _STANDS_ON[source] if name in bad)}"
        for source in sources
    )


def _mend(source: str, checks: Sequence[Check]) -> str:
    return next(check.mend for check in checks if check.name in _STANDS_ON[source] and not check.ok)

"""The configuration: the tree of options, and how flags, environment, file and defaults make one."""

# ruff: noqa: RUF009 - option() is dataclasses.field with the option told beside it

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from exporter.kinds import addresses, choice, choices, duration, integer, optional_path, path, text, watts
from exporter.options import (
    CONFIG_FILE_DEST,
    CONFIG_FILE_ENVIRONMENT,
    Option,
    build,
    flatten,
    option,
    table,
)

# What a RAPL tree can hold; ports of other meters have zones of their own (estimator.meters.port.ZONES).
RAPL_ZONES = ("package", "core", "uncore", "dram", "psys")
LEVELS = ("node", "process", "container", "vm", "pod")
_NEEDS_KUBERNETES = "the policy requests needs Kubernetes, which this version does not read"


@dataclass(frozen=True, slots=True)
class Log:
    """What is logged, to stderr."""

    level: str = option(
        "log.level",
        choice("debug", "info", "warning", "error", aliases={"warn": "warning"}),
        "info",
        "Least severity that is logged",
        reloadable=True,
    )
    format: str = option(
        "log.format",
        choice("text", "json"),
        "text",
        "One line of text or one JSON object an entry",
        reloadable=True,
    )


@dataclass(frozen=True, slots=True)
class Host:
    """Where the host's file systems are mounted, for running in a container."""

    sysfs: Path = option("host.sysfs", path(), Path("/sys"), "Where the host's sysfs is mounted")
    procfs: Path = option("host.procfs", path(), Path("/proc"), "Where the host's procfs is mounted")
    cgroupfs: Path = option(
        "host.cgroupfs", path(), Path("/sys/fs/cgroup"), "Where the host's cgroup file systems are mounted"
    )


@dataclass(frozen=True, slots=True)
class Monitor:
    """The tick."""

    interval_seconds: float = option(
        "monitor.interval", duration(minimum=0.1), 5.0, "Time between two measurements", reloadable=True
    )
    terminated_ttl_seconds: float = option(
        "monitor.terminatedTTL",
        duration(),
        300.0,
        "How long the energy of a workload that ended stays exported",
        flag="--monitor.terminated-ttl",
        reloadable=True,
    )
    idle_policy: str = option(
        "monitor.idlePolicy",
        choice("none", "proportional", "even", refused={"requests": _NEEDS_KUBERNETES}),
        "none",
        "How idle energy is shared out, in a family of its own",
    )


@dataclass(frozen=True, slots=True)
class Rapl:
    """The RAPL meter."""

    zones: tuple[str, ...] = option(
        "rapl.zones", choices(*RAPL_ZONES, empty="every zone there is"), (), "Zones that are read"
    )


@dataclass(frozen=True, slots=True)
class Ebpf:
    """The kernel's side."""

    loader: str = option(
        "ebpf.loader",
        choice("auto", "core", "bcc", "none"),
        "auto",
        "How the BPF program is loaded; none reads cpu.stat instead, auto takes the first that works",
    )
    cgroup_hierarchy: str = option(
        "ebpf.cgroupHierarchy",
        choice("auto", "v2", "v1"),
        "auto",
        "Which cgroup hierarchy is followed; auto takes v1 where the cpu controller is mounted as v1",
    )
    map_entries: int = option(
        "ebpf.mapEntries", integer(64, 1_048_576), 16_384, "Most cgroups the kernel's map holds at a time"
    )


@dataclass(frozen=True, slots=True)
class Anchors:
    """What the machine draws, where somebody knows: a wall meter's reading, or its data sheet."""

    idle_watts: float | None = option(
        "anchors.idleWatts",
        watts(),
        None,
        "Power of the whole machine when idle, for the model in a meter's stead; with the one at full load",
        flag="--model.idle-watts",
        default_description="not known",
    )
    full_watts: float | None = option(
        "anchors.fullWatts",
        watts(),
        None,
        "Power of the whole machine at full load",
        flag="--model.full-watts",
        default_description="not known",
    )


@dataclass(frozen=True, slots=True)
class State:
    """What outlives the process."""

    dir: Path | None = option(
        "state.dir",
        optional_path(),
        None,
        "Where what was learned is kept over a restart; empty for nowhere",
        default_description="nowhere",
    )


@dataclass(frozen=True, slots=True)
class Web:
    """The web server."""

    listen_addresses: tuple[str, ...] = option(
        "web.listenAddresses",
        addresses(),
        (":28283",),
        "Address to listen on; may be given more than once",
        flag="--web.listen-address",
    )


@dataclass(frozen=True, slots=True)
class Prometheus:
    """What is exported."""

    metrics_level: tuple[str, ...] = option(
        "exporter.prometheus.metricsLevel",
        choices(*LEVELS, empty=""),
        tuple(level for level in LEVELS if level != "process"),
        "Levels that are exported; may be given more than once or with commas",
        flag="--metrics.level",
        reloadable=True,
    )


@dataclass(frozen=True, slots=True)
class Exporters:
    """Ways out of the exporter, as Kepler groups them."""

    prometheus: Prometheus = field(default_factory=Prometheus)


@dataclass(frozen=True, slots=True)
class Kube:
    """Kubernetes."""

    node_name: str = option(
        "kube.nodeName",
        text("a node's name"),
        "",
        "Value of the label node_name",
        fallback=lambda environ: environ.get("NODE_NAME") or os.uname().nodename,
        default_description="$NODE_NAME, else the host's name",
    )


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that can be configured. Config() holds the defaults, with an empty kube.node_name."""

    log: Log = field(default_factory=Log)
    host: Host = field(default_factory=Host)
    monitor: Monitor = field(default_factory=Monitor)
    rapl: Rapl = field(default_factory=Rapl)
    ebpf: Ebpf = field(default_factory=Ebpf)
    model: str = option(
        "model",
        text("auto, none or the path of a model file"),
        "auto",
        "Power model for zones without a meter; auto takes the one that fits this machine",
    )
    calibration: str = option(
        "calibration",
        choice("on", "off"),
        "on",
        "Whether the meter teaches idle power and weights; off freezes them",
        flag="--model.calibration",
    )
    anchors: Anchors = field(default_factory=Anchors)
    state: State = field(default_factory=State)
    web: Web = field(default_factory=Web)
    exporter: Exporters = field(default_factory=Exporters)
    kube: Kube = field(default_factory=Kube)


OPTIONS: dict[str, Option] = table(Config)


def load_config(namespace: Namespace, environ: Mapping[str, str]) -> Config:
    """The configuration in force: flag over environment over file over default.

    namespace: of a parser that options.add_flags prepared. Reads the file anew at each call, for SIGHUP.
    Raises UsageError naming where a wrong value came from. An empty environment variable is not set.
    """
    values = {key: told.fallback(environ) if told.fallback else told.default for key, told in OPTIONS.items()}
    file_name = getattr(namespace, CONFIG_FILE_DEST, None) or environ.get(CONFIG_FILE_ENVIRONMENT)
    if file_name:
        from exporter.config_file import read_config_file  # PyYAML costs start-up time

        values |= read_config_file(Path(file_name), OPTIONS)
    values |= _from_environment(environ)
    values |= _from_flags(namespace)
    return build(Config, values)


def to_plain(config: Config) -> dict[str, object]:
    """The configuration as nested dictionaries, lists and scalars: what the YAML file would hold."""
    plain: dict[str, object] = {}
    for key, value in flatten(config).items():
        *sections, last = key.split(".")
        section = plain
        for name in sections:
            section = section.setdefault(name, {})  # type: ignore[assignment]
        section[last] = OPTIONS[key].kind.plain(value)
    return plain


def changes_needing_restart(old: Config, new: Config) -> list[str]:
    """The keys that differ and take effect only at a restart, in the table's order."""
    before, after = flatten(old), flatten(new)
    return [key for key, told in OPTIONS.items() if before[key] != after[key] and not told.reloadable]


def _from_environment(environ: Mapping[str, str]) -> dict[str, object]:
    return {
        told.key: told.parse(told.kind.from_texts([found]), told.environment)
        for told in OPTIONS.values()
        if (found := environ.get(told.environment))
    }


def _from_flags(namespace: Namespace) -> dict[str, object]:
    given = {key: getattr(namespace, key, None) for key in OPTIONS}
    return {
        key: OPTIONS[key].parse(
            OPTIONS[key].kind.from_texts(found if isinstance(found, list) else [found]), OPTIONS[key].flag
        )
        for key, found in given.items()
        if found is not None
    }

"""The configuration: the tree of options, and how flags, environment, file and defaults make one."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from exporter.configuration.gpu_options import Gpu
from exporter.configuration.guest_options import Vm
from exporter.configuration.kepler_keys import KEPLER_KEYS
from exporter.configuration.meter_options import Meters
from exporter.configuration.option_tree import (
    Anchors,
    Ebpf,
    Exporters,
    Host,
    Kube,
    Log,
    Machine,
    Monitor,
    Rapl,
    State,
    Web,
)
from exporter.configuration.options import (
    CONFIG_FILE_DEST,
    CONFIG_FILE_ENVIRONMENT,
    Option,
    build,
    flatten,
    option,
    table,
)
from exporter.configuration.otlp_options import Otlp
from exporter.configuration.platform_options import Platform
from exporter.configuration.tariff_options import Carbon, Cost
from exporter.configuration.value_types import choice, text


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that can be configured. Config() holds the defaults, with an empty kube.node_name."""

    log: Log = field(default_factory=Log)
    host: Host = field(default_factory=Host)
    monitor: Monitor = field(default_factory=Monitor)
    meters: Meters = field(default_factory=Meters)
    platform: Platform = field(default_factory=Platform)
    rapl: Rapl = field(default_factory=Rapl)
    gpu: Gpu = field(default_factory=Gpu)
    ebpf: Ebpf = field(default_factory=Ebpf)
    model: str = option(
        "model",
        text("auto, none or the path of a model file", "auto", "none"),
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
    machine: Machine = field(default_factory=Machine)
    state: State = field(default_factory=State)
    web: Web = field(default_factory=Web)
    exporter: Exporters = field(default_factory=Exporters)
    kube: Kube = field(default_factory=Kube)
    carbon: Carbon = field(default_factory=Carbon)
    cost: Cost = field(default_factory=Cost)
    otlp: Otlp = field(default_factory=Otlp)
    vm: Vm = field(default_factory=Vm)


OPTIONS: dict[str, Option] = table(Config)


def load_config(namespace: Namespace, environ: Mapping[str, str]) -> Config:
    """The configuration in force: flag over environment over file over default.

    namespace: of a parser with the flags of options.add_flags, all or some. Reads the file anew at each call,
    for SIGHUP.
    Raises UsageError naming where a wrong value came from. An empty environment variable is not set.
    """
    values = {key: each.fallback(environ) if each.fallback else each.default for key, each in OPTIONS.items()}
    file = config_file(namespace, environ)
    if file:
        from exporter.configuration.yaml_file import read_config_file  # PyYAML costs start-up time

        values |= read_config_file(file, OPTIONS, KEPLER_KEYS)
    values |= _from_environment(environ)
    values |= _from_flags(namespace)
    return build(Config, values)


def config_file(namespace: Namespace, environ: Mapping[str, str]) -> Path | None:
    """The YAML file that flag or environment name."""
    name = getattr(namespace, CONFIG_FILE_DEST, None) or environ.get(CONFIG_FILE_ENVIRONMENT)
    return Path(name) if name else None


def to_plain(config: Config) -> dict[str, object]:
    """The configuration as nested dictionaries, lists and scalars: what the YAML file would hold."""
    plain: dict[str, object] = {}
    for key, value in flatten(config).items():
        *sections, last = key.split(".")
        section = plain
        for name in sections:
            section = section.setdefault(name, {})  # type: ignore[assignment]
        section[last] = OPTIONS[key].value_type.plain(value)
    return plain


def changes_needing_restart(old: Config, new: Config) -> list[str]:
    """The keys that differ and take effect only at a restart, in the table's order."""
    before, after = flatten(old), flatten(new)
    return [key for key, each in OPTIONS.items() if before[key] != after[key] and not each.reloadable]


def _from_environment(environ: Mapping[str, str]) -> dict[str, object]:
    return {
        each.key: each.parse(each.value_type.from_texts([found]), each.environment)
        for each in OPTIONS.values()
        if (found := environ.get(each.environment))
    }


def _from_flags(namespace: Namespace) -> dict[str, object]:
    return {
        key: each.parse(each.value_type.from_texts(found if isinstance(found, list) else [found]), each.flag)
        for key, each in OPTIONS.items()
        if (found := getattr(namespace, key, None)) is not None
    }

"""The configuration file of the packages, every option of it: python -m deploy.packages.configuration."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from textwrap import wrap

import yaml

from exporter.configuration.config import OPTIONS
from exporter.configuration.options import Option

# Counters outlive a restart, and an upgrade is one.
IN_FORCE = {"ebpf.pin": "/sys/fs/bpf/podjoule", "state.dir": "/var/lib/podjoule"}
_HEAD = """\
## What begins with one # is the default; take it away here and from the sections above. Options with * are
## in force after `systemctl reload podjoule`, the others after `systemctl restart podjoule`.
## `podjoule config check --config.file /etc/podjoule/podjoule.yaml` says what is wrong.
"""


def configuration_file(options: Mapping[str, Option], in_force: Mapping[str, str]) -> str:
    """The file, in YAML. in_force: values by key that differ from the defaults; all others are comments."""
    lines = [_HEAD]
    above: tuple[str, ...] = ()
    live = {name for key in in_force for name in _sections_of(key)}
    for key, each in options.items():
        *sections, last = key.split(".")
        above, opened = tuple(sections), _opened(above, tuple(sections))
        lines += ["\n"] if opened or not sections else []
        for depth, name in opened:
            mark = "" if ".".join(sections[: depth + 1]) in live else "#"
            lines.append(f"{mark}{'  ' * depth}{name}:\n")
        indent = "  " * len(sections)
        star = " *" if each.reloadable else ""
        about = f"{each.description} ({each.value_type.allowed}){star}"
        lines += [f"##{indent} {line}\n" for line in wrap(about, 110 - len(indent))]
        value = in_force.get(key, _default(each))
        lines.append(f"{'' if key in in_force else '#'}{indent}{last}:{value and ' '}{value}\n")
    return "".join(lines)


def _opened(before: tuple[str, ...], now: tuple[str, ...]) -> list[tuple[int, str]]:
    """The sections that begin here, with their depths."""
    same = next(
        (i for i, (a, b) in enumerate(zip(before, now, strict=False)) if a != b), min(len(before), len(now))
    )
    return [(depth, now[depth]) for depth in range(same, len(now))]


def _sections_of(key: str) -> list[str]:
    parts = key.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts))]


def _default(of: Option) -> str:
    """As it is written in the file; empty, which is not set, where it depends on the machine."""
    if of.default is None or of.default_description:
        return ""
    return (
        yaml.safe_dump(of.value_type.plain(of.default), default_flow_style=True).removesuffix("...\n").strip()
    )


if __name__ == "__main__":
    sys.stdout.write(configuration_file(OPTIONS, IN_FORCE))

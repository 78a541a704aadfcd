"""The page on configuration, made from the options and commands: python -m exporter.commands.reference."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from exporter.commands.cli import every_command
from exporter.commands.declaration import Command
from exporter.configuration.config import OPTIONS
from exporter.configuration.options import Option, shown_default

_HEAD = """<!-- Made by `make docs` from exporter/configuration and exporter/commands; edit those. -->
# Configuration

A flag goes before the environment, the environment before the file of `--config.file` (or
`PODJOULE_CONFIG_FILE`), the file before the default. `podjoule config check` prints what is in force. SIGHUP
reads the file again; options without the mark * take effect at a restart only.

A command takes the flags that it uses; in the environment and in the file there may be those of other
commands as well.

| key in the file | flag | environment | allowed | default | | commands |
|---|---|---|---|---|---|---|
"""


def reference(options: Mapping[str, Option], commands: Sequence[Command]) -> str:
    """The page, in Markdown: one row an option."""
    return _HEAD + "".join(f"{_row(each, _takers(each, commands))}\n" for each in options.values())


def _takers(option: Option, commands: Sequence[Command]) -> str:
    takers = [command.name for command in commands if option.key in command.options]
    return "all" if len(takers) == len(commands) else ", ".join(takers)


def _row(each: Option, takers: str) -> str:
    key = f"`{each.key}`" + (" *" if each.reloadable else "")
    default = shown_default(each) if each.default_description else f"`{shown_default(each)}`"
    names = (key, f"`{each.flag}`", f"`{each.environment}`")
    return f"| {' | '.join((*names, each.value_type.allowed, default, each.description, takers))} |"


if __name__ == "__main__":
    sys.stdout.write(reference(OPTIONS, every_command()))

"""The page on configuration, made from the table of options: python -m exporter.reference."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from exporter.config import OPTIONS
from exporter.options import Option, shown_default

_HEAD = """<!-- Made by `make docs` from exporter/config.py; edit that. -->
# Configuration

A flag goes before the environment, the environment before the file of `--config.file` (or
`PODJOULE_CONFIG_FILE`), the file before the default. `podjoule config check` prints what is in force. SIGHUP
reads the file again; options without the mark * take effect at a restart only.

| key in the file | flag | environment | allowed | default | |
|---|---|---|---|---|---|
"""


def reference(options: Mapping[str, Option]) -> str:
    """The page, in Markdown: one row an option."""
    return _HEAD + "".join(f"{_row(told)}\n" for told in options.values())


def _row(told: Option) -> str:
    key = f"`{told.key}`" + (" *" if told.reloadable else "")
    default = shown_default(told) if told.default_description else f"`{shown_default(told)}`"
    cells = (key, f"`{told.flag}`", f"`{told.environment}`", told.kind.allowed, default, told.description)
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.stdout.write(reference(OPTIONS))

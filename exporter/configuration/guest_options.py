"""The section of the configuration about virtual machines that run here."""

# ruff: noqa: RUF009 - option() is dataclasses.field with the option beside it

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from exporter.configuration.options import option
from exporter.configuration.value_types import optional_path


@dataclass(frozen=True, slots=True)
class Vm:
    """Virtual machines on this host."""

    share_dir: Path | None = option(
        "vm.shareDir",
        optional_path(),
        None,
        "Directory in which each virtual machine's energy is written as a powercap tree, by its UUID, for it"
        " to mount and read with --host.powercap",
        flag="--vm.share-dir",
        default_description="nothing is written",
    )

"""`podjoule unpin`: nothing of ours stays in the kernel."""

from __future__ import annotations

import sys

from ebpf.errors import UsageError
from ebpf.pins import remove_pins
from exporter.commands.declaration import CONFIGURED, Command
from exporter.configuration.config import Config


def unpin(config: Config) -> int:
    """Remove all pins below --ebpf.pin, of every layout, and print each. Raises UsageError."""
    directory = config.ebpf.pin
    if directory is None:
        raise UsageError("podjoule unpin wants --ebpf.pin DIR, the directory that podjoule run was given")
    try:
        removed = remove_pins(directory)
    except OSError as error:
        raise UsageError(f"{error.filename or directory} cannot be removed: {error.strerror}") from error
    sys.stdout.write(
        "".join(f"removed {path}\n" for path in removed) or f"nothing is pinned in {directory}\n"
    )
    return 0


COMMAND = Command(
    "unpin",
    "remove what --ebpf.pin left in the kernel",
    lambda _, config: unpin(config),
    (*CONFIGURED, "ebpf.pin"),
)

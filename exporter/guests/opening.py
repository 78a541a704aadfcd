"""Whether guests are told their energy, and where, from the configuration."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ebpf.directory_lock import WAIT_SECONDS, lock_directory
from exporter.configuration.config import Config

if TYPE_CHECKING:
    from exporter.guests.shares import GuestShares

log = logging.getLogger("exporter.guests")


def open_guests(config: Config, wait_seconds: float = WAIT_SECONDS) -> GuestShares | None:
    """What --vm.share-dir asks for; where it cannot be had, a line says why and nothing is shared."""
    directory = config.vm.share_dir
    if directory is None:
        return None
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = lock_directory(directory, wait_seconds)
    except OSError as error:
        log.error("energy is not shared with guests: %s: %s", directory, error.strerror or error)
        return None
    if lock is None:
        log.error("energy is not shared with guests: another process shares it in %s", directory)
        return None
    # Who has no guests does not pay for them.
    from exporter.guests.shares import GuestShares

    return GuestShares(directory, lock, config.host.procfs)

"""Who keeps the books, from the configuration."""

from __future__ import annotations

import logging

from ebpf.boot import boot_id
from ebpf.directory_lock import WAIT_SECONDS, lock_directory
from exporter.configuration.config import Config
from exporter.tick.measurement import Keeper, KeepsNothing

log = logging.getLogger("exporter.continuity")


def open_keeper(config: Config, wait_seconds: float = WAIT_SECONDS) -> Keeper:
    """What --state.dir asks for; where it cannot be had, a line says why and nothing is kept."""
    directory = config.state.dir
    if directory is None:
        if config.ebpf.pin is not None:
            log.warning("--ebpf.pin without --state.dir: the kernel counts on, but nobody knows up to where")
        return KeepsNothing()
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = lock_directory(directory, wait_seconds)
    except OSError as error:
        log.error("counters are not kept for the next start: %s: %s", directory, error.strerror or error)
        return KeepsNothing()
    if lock is None:
        log.error("counters are not kept for the next start: another process keeps its own in %s", directory)
        return KeepsNothing()
    # The state's format costs start-up time and memory: who keeps nothing does not pay for it.
    from exporter.restarts.continuity import FILE, Continuity

    return Continuity(directory / FILE, config.kube.node_name, boot_id(config.host.procfs), lock)

"""The web configuration file while we serve: reread when it changes, the last good one stays in force."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

from ebpf.errors import UsageError
from ebpf.state_log import StateLog
from exporter.configuration.file_signature import Signature, signature
from exporter.serving.security.tls import TlsGate
from exporter.serving.security.toolkit_file import WebConfig, read_web_config

log = logging.getLogger("exporter.web")

_LOOK_SECONDS = 0.25
_RETRY_SECONDS = 5.0


def check_web_config(path: Path) -> WebConfig:
    """The file as `run` would take it, certificates and all. Raises UsageError saying what is wrong."""
    return _load(path)[0]


class WebSecurity:
    """What one file says. Raises UsageError if it cannot be used at the start.

    Looking costs one stat a file. A change is taken over once the files have stayed as they are from one look
    to the next, since a certificate and its key are not replaced in one instant. A bad one is logged once.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self.config, self.gate = _load(path)
        self._changing = dict(self.config.files)
        self._refused: dict[Path, Signature] | None = None
        self._look_at = self._retry_at = 0.0
        self._refusals = StateLog(log, "the web configuration is not reread, the old one stays")
        for warning in self.config.warnings:
            log.warning("%s", warning)

    def look(self) -> None:
        """Take over what the files hold by now. Never raises."""
        now = self._clock()
        if now < self._look_at:
            return
        self._look_at = now + _LOOK_SECONDS
        found = {file: signature(file) for file in self.config.files}
        if found == self.config.files:
            self._refused = None
        elif found != self._changing:
            self._changing = found
        elif found != self._refused or now >= self._retry_at:  # it may name files that come to be later
            self._retry_at = now + _RETRY_SECONDS
            self._refused = None if self._take_over() else found

    def _take_over(self) -> bool:
        try:
            config, gate = _load(self._path)
            self._check_change(config)
        except UsageError as error:
            self._refusals.enter(str(error))
            return False
        self.config, self.gate = config, gate
        self._refusals.enter("")
        log.info("web configuration %s reread", self._path)
        return True

    def _check_change(self, config: WebConfig) -> None:
        if bool(config.tls) != bool(self.config.tls):
            raise UsageError(f"{self._path}: TLS is switched on or off by a restart alone")
        if self.config.users and not config.users:
            raise UsageError(f"{self._path}: basic_auth_users is gone; restart if everybody shall come in")


def _load(path: Path) -> tuple[WebConfig, TlsGate | None]:
    try:
        config = read_web_config(path)
    except RecursionError:
        raise UsageError(f"{path}: nested too deep") from None
    return config, TlsGate(config.tls) if config.tls else None

"""Files of the exporter's that others spoil: its configuration, and the disk its state is on."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random

import yaml

KEPT_AGAIN_SECONDS = 10.0  # longer than two ticks

_LEVELS = (("node", "container", "vm", "pod"), ("container", "node"), ("node", "pod"))
_WRONG = (
    b"", b"monitor: [", b"monitor:\n\tinterval: 1s\n", b"monitor:\n  intervall: 1s\n", b"\xff\xfem\x00o\x00",
    b"monitor:\n  interval: -3s\n", b"log:\n  level: caf\xe9\n", b"- 1\n- 2\n", b"[" * 5_000, b"x: &a [*a]\n",
    b"monitor:\n  interval: " + b"9" * 100_000 + b"\n", b"\0" * 4096,
)  # fmt: skip


class Configuration:
    """The configuration file: other values, half of them at first, and wrong ones, which do not stay.

    good: held while the file is as the exporter may find it at a start. always: levels beside the others.
    """

    name, pause = "configuration", (2.0, 8.0)

    def __init__(self, file: Path, always: Sequence[str] = ()) -> None:
        self.file, self.good = file, threading.Lock()
        self._always = always
        self._replace(self._text(_LEVELS[0]))

    def step(self, rng: Random, stopping: threading.Event) -> str:
        how = rng.choice(("rewritten", "rewritten", "half-written", "wrong", "gone"))
        with self.good:
            if how == "half-written":
                text = self._any_text(rng)
                self.file.write_bytes(text[: rng.randrange(len(text))])
            elif how == "wrong":
                self.file.write_bytes(rng.choice(_WRONG))
            elif how == "gone":
                self.file.unlink()
            if how != "rewritten":
                stopping.wait(rng.choice((0.02, 0.3, 3.0)))
            self._replace(self._any_text(rng))
        return how

    def settle(self) -> None:
        with self.good:
            self._replace(self._text(_LEVELS[0]))

    def _replace(self, text: bytes) -> None:
        beside = self.file.with_suffix(".new")
        beside.write_bytes(text)
        beside.rename(self.file)

    def _any_text(self, rng: Random) -> bytes:
        interval, ttl = rng.choice(("300ms", "500ms", "1s")), rng.choice(("3s", "8s"))
        log = {"format": rng.choice(("text", "text", "json")), "level": rng.choice(("info", "warning"))}
        return self._text(rng.choice(_LEVELS), interval, ttl, log, rng.choice((20, 40)))

    def _text(
        self,
        levels: Sequence[str],
        interval: str = "500ms",
        ttl: str = "5s",
        log: Mapping[str, str] = {},
        most_requests: int = 40,
    ) -> bytes:
        """most_requests: takes effect at a restart alone."""
        values = {
            "log": dict(log),
            "monitor": {"interval": interval, "terminatedTTL": ttl},
            "exporter": {"prometheus": {"metricsLevel": [*levels, *self._always]}},
            "web": {"maxRequests": most_requests},
        }
        return yaml.safe_dump(values).encode()


class Disk:
    """The file system of the state, which is full for a while."""

    name, pause = "disk", (10.0, 25.0)

    def __init__(self, mount: Path) -> None:
        self._ballast = mount / "ballast"
        self._spoilt_until = 0.0

    @property
    def has_spoilt(self) -> bool:
        """Whether what is kept may be older than what was shown."""
        return time.monotonic() < self._spoilt_until

    def step(self, rng: Random, stopping: threading.Event) -> str:
        self._spoilt_until = float("inf")
        with contextlib.suppress(OSError), self._ballast.open("wb", buffering=0) as file:
            while True:  # the last byte too
                while file.write(bytes(1 << 16)):
                    pass
        stopping.wait(rng.uniform(2.0, 8.0))
        self.settle()
        return "full"

    def settle(self) -> None:
        self._ballast.unlink(missing_ok=True)
        self._spoilt_until = time.monotonic() + KEPT_AGAIN_SECONDS

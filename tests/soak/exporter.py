"""The exporter under test: one process after another, over the same directories."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from random import Random

from tests.e2e.servers import Podjoule
from tests.soak.files import Configuration

DOWN_SECONDS = 3.0


class Exporter:
    """`podjoule run` with the arguments given; its logs are log-1, log-2, ... in the folder."""

    def __init__(self, folder: Path, arguments: tuple[str, ...]) -> None:
        self._folder, self._arguments = folder, arguments
        self._process: Podjoule | None = None
        self.starts = 0
        self.odd_ends: list[str] = []

    @property
    def url(self) -> str:
        return self.process.url

    @property
    def port(self) -> int:
        return self.process.port

    @property
    def pid(self) -> int:
        return self.process.process.pid

    @property
    def process(self) -> Podjoule:
        assert self._process
        return self._process

    @property
    def logs(self) -> list[Path]:
        return [self._folder / f"log-{n}" for n in range(1, self.starts + 1)]

    def launch(self) -> None:
        """Without waiting for anything."""
        self.starts += 1
        self._process = Podjoule(*self._arguments, log=self._folder / f"log-{self.starts}")

    def start(self) -> None:
        """Until it is ready."""
        self.launch()
        self.process.__enter__()

    def end(self, number: int) -> None:
        """By a signal; whether it ended by itself before, or not as it should, goes into `odd_ends`."""
        process = self.process.process
        if (code := process.poll()) is not None:
            self.odd_ends.append(f"by itself with {code}")
            return
        process.send_signal(number)
        code = process.wait(timeout=30)
        if code != (0 if number == signal.SIGTERM else -number):
            self.odd_ends.append(f"{signal.Signals(number).name}: {code}")

    def watch(self, seconds: float) -> None:
        """For a time in which nobody ends it: that it goes on. Raises AssertionError with its last words."""
        process = self.process.process
        try:
            code = process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            return
        words = self.logs[-1].read_text(errors="replace").splitlines()[-20:]
        raise AssertionError("\n".join([f"the exporter ended by itself with {code}:", *words]))

    def close(self) -> None:
        """Whatever it is about."""
        if self._process:
            self._process.process.kill()
            self._process.process.wait()


class Restarts:
    """Ends the exporter in any way, also amid its start, and starts it again.

    before_start: told when the one before is dead.
    """

    name, pause = "restarts", (3.0, 12.0)

    def __init__(
        self, exporter: Exporter, configuration: Configuration, before_start: Callable[[], None]
    ) -> None:
        self._exporter, self._configuration = exporter, configuration
        self._before_start = before_start

    def step(self, rng: Random, stopping: threading.Event) -> str:
        number = rng.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM))
        amid_start = rng.random() < 0.2
        self._exporter.end(number)
        self._before_start()
        stopping.wait(rng.uniform(0.0, DOWN_SECONDS))
        with self._configuration.good:
            if amid_start:
                self._exporter.launch()
                stopping.wait(rng.uniform(0.2, 1.5))
                self._exporter.end(signal.SIGKILL)
                self._before_start()
            self._exporter.start()
        return f"{number.name}{', and again amid the start' if amid_start else ''}"

    def settle(self) -> None:
        """It runs."""

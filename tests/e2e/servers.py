"""Real servers on loopback for the end-to-end tests: podjoule itself, and Prometheus scraping it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import yaml

from tests.estimator.meters.rapl_tree import RaplTree
from tests.programs import program

ROOT = Path(__file__).resolve().parents[2]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def get(url: str, timeout: float = 5) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=timeout) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def wait_for(url: str, seconds: float = 30, alive: Callable[[], bool] = lambda: True) -> str:
    """The body once the URL answers 200; TimeoutError also when who should answer is not alive."""
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError):
            status, body = get(url)
            if status == 200:
                return body
        if time.monotonic() > deadline or not alive():
            raise TimeoutError(f"{url} does not answer with 200")
        time.sleep(0.05)


def after_another_tick(url: str, seconds: float = 60) -> str:
    """The page of a tick that began after this call: a busy machine keeps ticks waiting, too."""
    wanted = ticks(get(url)[1]) + 2
    deadline = time.monotonic() + seconds
    while ticks(text := get(url)[1]) < wanted:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{url}: no tick in {seconds:.0f} s")
        time.sleep(0.05)
    return text


def ticks(text: str) -> float:
    """How many there were, by a page."""
    """How many there were, by a page."""
    lines = (line for line in text.splitlines() if line.startswith("podjoule_ticks_total"))
    return float(next(lines, "0").rpartition(" ")[2])


class Podjoule:
    """`podjoule run` as a process; what it logs is in `log`."""

    def __init__(
        self, *arguments: str, log: Path, environment: dict[str, str] | None = None, port: int | None = None
    ) -> None:
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = log
        with log.open("wb") as stderr:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "exporter.commands.cli",
                    "run",
                    f"--web.listen-address=127.0.0.1:{self.port}",
                    *arguments,
                ],
                cwd=ROOT,
                stderr=stderr,
                stdout=stderr,
                env={**os.environ, **(environment or {})},
            )

    def __enter__(self) -> Podjoule:
        try:
            wait_for(f"{self.url}/-/ready")
        except TimeoutError as error:
            self.stop()
            raise TimeoutError(f"podjoule is not ready: {self.log.read_text()}") from error
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def metrics(self) -> str:
        return get(f"{self.url}/metrics")[1]

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


class Prometheus:
    """Debian's Prometheus, scraping the targets given, and evaluating its rules, every `interval`.

    binary: another one; arguments: more of its command line; scrape: more keys of its scrape configuration.
    """

    def __init__(
        self,
        folder: Path,
        targets: Sequence[str],
        interval: str = "2s",
        rule_files: Sequence[Path] = (),
        *,
        binary: Path | None = None,
        arguments: Sequence[str] = (),
        scrape: Mapping[str, object] | None = None,
    ) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / "prometheus.log"
        configuration = {
            "global": {
                "scrape_interval": interval,
                "scrape_timeout": interval,
                "evaluation_interval": interval,
            },
            "rule_files": [str(file) for file in rule_files],
            "scrape_configs": [
                {"job_name": "podjoule", "static_configs": [{"targets": list(targets)}], **(scrape or {})}
            ],
        }
        (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [
                    str(binary or program("prometheus")),
                    f"--config.file={folder}/prometheus.yml",
                    f"--storage.tsdb.path={folder}/data",
                    f"--web.listen-address=127.0.0.1:{self.port}",
                    *arguments,
                ],
                stdout=log,
                stderr=log,
            )

    def __enter__(self) -> Prometheus:
        try:
            wait_for(f"{self.url}/-/ready")
        except TimeoutError as error:
            self.stop()
            raise TimeoutError(f"Prometheus is not ready: {self.log.read_text()}") from error
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def query(self, promql: str, at: float | None = None) -> list[tuple[dict[str, str], float]]:
        """(labels, value) of each series of an instant query."""
        parameters = {"query": promql} | ({"time": str(at)} if at else {})
        status, body = get(f"{self.url}/api/v1/query?{urllib.parse.urlencode(parameters)}")
        answer = json.loads(body)
        assert status == 200, answer
        assert answer["status"] == "success", answer
        return [(row["metric"], float(row["value"][1])) for row in answer["data"]["result"]]

    def value(self, promql: str, at: float | None = None) -> float:
        """The one value of an aggregate; 0 where it has no series."""
        rows = self.query(promql, at)
        assert len(rows) <= 1, rows
        return rows[0][1] if rows else 0.0


class Plant:
    """A powercap tree advanced in the background: the truth of a test.

    watts: by zone, what it draws; or what is to be asked for that, with the seconds since the last time.
    """

    def __init__(
        self, tree: RaplTree, watts: Mapping[str, float] | Callable[[float], Mapping[str, float]]
    ) -> None:
        self._tree = tree
        self._watts = watts if callable(watts) else lambda _: watts
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Plant:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        last = time.monotonic()
        while not self._stopping.wait(0.05):
            now = time.monotonic()
            for zone, watts in self._watts(now - last).items():
                self._tree.advance(zone, watts * (now - last))
            last = now


@contextlib.contextmanager
def scraping(url: str, interval_seconds: float) -> Iterator[list[int]]:
    """A second scraper in the background, with gzip and OpenMetrics; the statuses it got."""
    statuses: list[int] = []
    stopping = threading.Event()

    def scrape() -> None:
        headers = {"Accept": "application/openmetrics-text; version=1.0.0", "Accept-Encoding": "gzip"}
        while not stopping.wait(interval_seconds):
            request = urllib.request.Request(url, headers=headers)
            with urllib.request.urlopen(request, timeout=5) as answer:
                answer.read()
                statuses.append(answer.status)

    thread = threading.Thread(target=scrape, daemon=True)
    thread.start()
    try:
        yield statuses
    finally:
        stopping.set()
        thread.join()

"""`podjoule run` as it is installed, in a process of its own."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.pod_api import InPod
from tests.live.sandbox import stop

COMMAND = Path(sys.executable).with_name("podjoule")
READY_SECONDS, POLL_SECONDS = 30.0, 0.01


@contextmanager
def running(*flags: str, within: InPod | None = None) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The process and its port on loopback; whatever it logs is dropped, what goes wrong shows in scrapes."""
    port = _free_port()
    process = subprocess.Popen(
        [
            *(within.words if within else ()),
            COMMAND,
            "run",
            "--web.listen-address",
            f"127.0.0.1:{port}",
            *flags,
        ],
        env={**os.environ, **(within.environ if within else {})},
        stderr=subprocess.DEVNULL,
        process_group=0,
    )
    try:
        yield process, port
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
        stop(process)


def scrape(port: int) -> str | None:
    """The page, or None where there is none yet."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    with contextlib.closing(connection):
        try:
            connection.request("GET", "/metrics")
            response = connection.getresponse()
            text = response.read().decode()
        except OSError:
            return None
        return text if response.status == 200 else None


def first_scrape(process: subprocess.Popen[bytes], port: int) -> str:
    """Ask until there is an answer."""
    end = time.monotonic() + READY_SECONDS
    while time.monotonic() < end and process.poll() is None:
        page = scrape(port)
        if page is not None:
            return page
        time.sleep(POLL_SECONDS)
    raise TimeoutError(f"podjoule run did not answer (exit code {process.poll()})")


def value(page: str, family: str) -> float:
    """The sum of a family's series."""
    lines = [line for line in page.splitlines() if line.startswith((f"{family}{{", f"{family} "))]
    return sum(float(line.rpartition(" ")[2]) for line in lines)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])

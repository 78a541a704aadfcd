"""Who scrapes, in a process of its own, so that what it remembers is not in the exporter's memory.

    python -m tests.soak.simulated.scraper

For each line on its standard input, a JSON object {"port", "wall", "form"}, it asks for a page and checks it
against all before it, and says what it found as one line of JSON. Beside that it holds connections that ask
for pages and never read them.
"""

from __future__ import annotations

import gzip
import http.client
import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, Self

ROOT = Path(__file__).resolve().parents[3]
_N_DEAF = 48
_FORMS = (
    {"Accept": "text/plain;version=0.0.4"},
    {"Accept": "application/openmetrics-text;version=1.0.0", "Accept-Encoding": "gzip"},
)
_PATHS = ("/", "/api/v1/status", "/api/v1/workloads", "/api/v1/history?step=60", "/-/ready", "/-/healthy")
_COUNTER = re.compile(r"^# TYPE (\S+) counter$", re.MULTILINE)
# These go by a name: who comes back under it after it has gone is another one, which begins at 0.
_BY_NAME = ("podjoule_cgroup_", "process_", "python_")
_NOT_YET = b"The first tick is not done yet."
_OWN = ("process_", "python_")
_AHEAD_SECONDS = 2.0


class _Sample(NamedTuple):
    """A line of a page. name: with the labels."""

    family: str
    name: str
    value: float


def _sample(line: str) -> _Sample:
    name, _, value = line.rpartition(" ")
    return _Sample(name.partition("{")[0], name, float(value))


class Pages:
    """All pages so far. fallen: counters that went down; returned: that came back with less than they had."""

    def __init__(self) -> None:
        self.fallen: list[str] = []
        self.returned: list[str] = []
        self.early: list[str] = []
        self._last: dict[str, float] = {}
        self._gone: dict[int, float] = {}
        self._read: dict[str, _Sample] = {}  # of the last two pages, which have other forms
        self._read_before: dict[str, _Sample] = {}

    def look(self, page: str, wall: float) -> int:
        """Compare with the page before; how many series it has."""
        counters = {name.removesuffix("_total") for name in _COUNTER.findall(page)}
        lines = [line for line in page.split("\n") if line and line[0] != "#"]
        # Most are as they were: to read all of them each time would take longer than the ticks do.
        samples = {line: self._read.get(line) or _sample(line) for line in lines}
        self._read = self._read_before | samples
        self._read_before = samples
        created = [each for each in samples.values() if each.family.endswith("_created")]
        self.early += [
            f"{each.name} {each.value} at {wall}"
            for each in created
            if not 0 < each.value <= wall + _AHEAD_SECONDS and not each.family.startswith(_OWN)
        ]
        counted = (each for each in samples.values() if each.family.removesuffix("_total") in counters)
        self._compare({each.name: each.value for each in counted if not each.family.startswith(_OWN)})
        return len(lines) - len(created)

    def _compare(self, found: Mapping[str, float]) -> None:
        last = self._last
        for name, value in found.items():
            before = last.get(name)
            if before is None:
                before = self._gone.pop(hash(name), 0.0)
                if not value >= before:
                    self.returned.append(f"{name}: {before!r}, then {value!r}")
            elif not value >= before:
                self.fallen.append(f"{name}: {before!r}, then {value!r}")
        for name in last.keys() - found.keys():
            if not name.startswith(_BY_NAME):
                self._gone[hash(name)] = last[name]
        self._last = dict(found)


class Deaf:
    """Connections that ask for pages and read nothing, until the server has had enough of them."""

    def __init__(self) -> None:
        self.opened = 0
        self._sockets: list[socket.socket] = []

    def ask(self, port: int) -> None:
        """Where one has been cut, another comes."""
        self._sockets = [each for each in self._sockets if not _is_cut(each)]
        with suppress(OSError):
            while len(self._sockets) < _N_DEAF:
                made = socket.create_connection(("127.0.0.1", port), timeout=5)
                made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                made.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
                made.setblocking(False)
                self._sockets.append(made)
                self.opened += 1

    def leave(self) -> None:
        for each in self._sockets:
            each.close()
        self._sockets = []


def _is_cut(sock: socket.socket) -> bool:
    try:
        sock.send(b"")
        return sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0 or _tcp_state(sock) != 1
    except OSError:
        return True


def _tcp_state(sock: socket.socket) -> int:
    """1: established; see struct tcp_info of linux/tcp.h."""
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]


def _fetch(
    connection: http.client.HTTPConnection, path: str, headers: Mapping[str, str]
) -> tuple[int, bytes]:
    connection.request("GET", path, headers=dict(headers))
    answer = connection.getresponse()
    body = answer.read()
    if answer.headers.get("Content-Encoding") == "gzip":
        body = gzip.decompress(body)
    return answer.status, body


def main() -> None:
    pages, deaf = Pages(), Deaf()
    connection, port = None, 0
    for number, line in enumerate(sys.stdin):
        asked: dict[str, Any] = json.loads(line)
        if connection is None or asked["port"] != port:
            deaf.leave()
            port = asked["port"]
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        if asked["deaf"]:
            deaf.ask(port)
        path = _PATHS[number % len(_PATHS)]
        status, body = _fetch(connection, "/metrics", _FORMS[number % 2])
        status_beside, _ = _fetch(connection, path, {})
        print(flush=True)  # the exporter may go on
        if status == 503 and _NOT_YET in body:  # the first tick of a process has failed
            print("{}", flush=True)
            continue
        refused = [
            f"{where} {code}" for where, code in (("/metrics", status), (path, status_beside)) if code != 200
        ]
        series = pages.look(body.decode(), asked["wall"]) if status == 200 else 0
        told = {
            "series": series,
            "bytes": len(body),
            "refused": refused,
            "fallen": pages.fallen,
            "returned": pages.returned,
            "early": pages.early,
            "deaf": deaf.opened,
        }
        print(json.dumps(told), flush=True)
        pages.fallen, pages.returned, pages.early = [], [], []


class Scraper:
    """The process, asked from here. What it finds on a page is told at the next one."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._has_more = False

    def found(self) -> dict[str, Any] | None:
        """On the page that was scraped last; None where there is none, or that is told already."""
        if not self._has_more:
            return None
        self._has_more = False
        told: dict[str, Any] = json.loads(self._line())
        return told

    def scrape(self, port: int, wall: float, *, deaf: bool) -> None:
        """One page; comes back as soon as it is read. Raises RuntimeError where the process has ended."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps({"port": port, "wall": wall, "deaf": deaf}) + "\n")
        self._process.stdin.flush()
        self._line()
        self._has_more = True

    def _line(self) -> str:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the process that scrapes has ended; what it said is above")
        return line

    @classmethod
    @contextmanager
    def running(cls) -> Iterator[Self]:
        """One, for a while."""
        command = [sys.executable, "-m", __name__]
        with subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            yield cls(process)
            assert process.stdin
            process.stdin.close()


if __name__ == "__main__":
    main()

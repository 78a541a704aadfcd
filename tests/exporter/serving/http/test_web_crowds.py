"""Crowds that want all there is of one thing: socket memory, descriptors, the interpreter.

What a scrape waits is held against what it waits with nobody else there, in the same run on the same machine.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from http.client import HTTPException
from pathlib import Path
from statistics import median

import pytest

from exporter.configuration.addresses import parse_address
from tests.exporter.serving.server_process import ServerProcess, server_process
from tests.exporter.serving.web_kit import Client, ended_by, wait_for

REQUEST = b"GET /metrics HTTP/1.1\r\nHost: x\r\n"
CROWD = 256
# The socket memory of a machine is counted for all that runs on it, tests beside this one too.
PINNED_BYTES = 100e6
CUT_SECONDS = 20.0


@contextmanager
def crowd(server: ServerProcess, first_words: bytes, n_clients: int) -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        sockets = []
        for _ in range(n_clients):
            sock = stack.enter_context(socket.create_connection(parse_address(server.address), timeout=30))
            with suppress(ConnectionError):
                sock.sendall(first_words)
            sockets.append(sock)
        yield sockets


def socket_bytes(server: ServerProcess) -> int:
    """What the kernel holds in both ends of the server's connections, as /proc/net/tcp has it."""
    port = f":{parse_address(server.address)[1]:04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    queues = [row[4].split(":") for row in rows if port in (row[1][8:], row[2][8:]) and row[3] != "0A"]
    return sum(int(queue, 16) for pair in queues for queue in pair)


def test_clients_that_do_not_read_are_cut_and_pin_little() -> None:
    with server_process("--series", "66000") as server:
        server.scrape_seconds()
        before, n_before = server.resident_bytes(), server.n_open()
        with crowd(server, REQUEST + b"\r\n", CROWD):
            began, pinned = time.monotonic(), 0
            wait_for(lambda: server.n_open() > n_before + CROWD // 2)
            while server.n_open() > n_before + 2 and time.monotonic() < began + CUT_SECONDS:
                server.scrape_seconds()
                pinned = max(pinned, socket_bytes(server) + server.resident_bytes() - before)
                time.sleep(0.5)
            assert server.n_open() <= n_before + 2, "nobody cut them"
        assert 0 < pinned < PINNED_BYTES


def test_documents_that_nobody_fetches_are_bounded_though_each_is_another() -> None:
    """A thousand pods make some 500 kB, and clients who each ask for another limit share none of it."""
    with server_process("--pods", "1000") as server:
        server.scrape_seconds()
        before = server.resident_bytes()
        with ExitStack() as stack:
            for number in range(200):
                sock = stack.enter_context(
                    socket.create_connection(parse_address(server.address), timeout=30)
                )
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
                sock.sendall(b"GET /api/v1/workloads?limit=%d HTTP/1.1\r\nHost: x\r\n\r\n" % (1_000 + number))
            time.sleep(3.0)
            server.scrape_seconds()
            assert server.resident_bytes() - before < PINNED_BYTES


@pytest.fixture(scope="module")
def five_thousand() -> Iterator[ServerProcess]:
    """A server that shows as many pods, and has been scraped."""
    with server_process("--pods", "5000") as server:
        server.scrape_seconds()
        yield server


def test_a_scrape_that_is_read_slowly_is_not_cut_for_documents(five_thousand: ServerProcess) -> None:
    server = five_thousand
    with ExitStack() as stack:

        def ask(request: bytes) -> socket.socket:
            sock = stack.enter_context(socket.create_connection(parse_address(server.address), timeout=30))
            sock.sendall(request)
            return sock

        scrape = ask(REQUEST + b"Connection: close\r\n\r\n")
        answer = scrape.recv(4_096)
        time.sleep(0.5)
        for number in range(12):
            ask(b"GET /api/v1/workloads?limit=%d HTTP/1.1\r\nHost: x\r\n\r\n" % (5_000 + number))
        time.sleep(3.0)
        answer += b"".join(iter(partial(scrape.recv, 1 << 20), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}".encode() in head


@pytest.mark.parametrize(
    "first_words",
    [b"", b"GET /metr", REQUEST, REQUEST + b"\r\n"],
    ids=["silent", "in the line", "in the head", "not reading"],
)
def test_a_scrape_gets_in_with_sixty_four_descriptors_and_two_hundred_clients(first_words: bytes) -> None:
    with server_process("--descriptors", "64", "--series", "20000") as server:
        with crowd(server, first_words, 200):
            waits = [server.scrape_seconds() for _ in range(5)]
            assert server.n_open() < 64 - 16, "nothing is left for the meters"
        assert max(waits) < 1.0


def test_distinct_questions_at_five_thousand_pods_delay_no_scrape(five_thousand: ServerProcess) -> None:
    server, stop = five_thousand, threading.Event()

    def ask(number: int) -> int:
        answered = 0
        while not stop.is_set():
            with suppress(OSError, HTTPException), closing(Client(server.address)) as client:
                path = f"/api/v1/workloads?limit={5_000 + 100 * answered + number}"
                answered += client.ask(path)[0].status in (200, 503)
        return answered

    with ThreadPoolExecutor(60) as pool:
        asked = [pool.submit(ask, number) for number in range(60)]
        with ended_by(stop):
            time.sleep(0.5)
            waits = []
            for _ in range(15):
                waits.append(server.scrape_seconds())
                time.sleep(0.1)
        answered = sum(each.result() for each in asked)
    assert answered > 0
    assert median(waits) < 0.5, "scrapes stood in line behind documents"

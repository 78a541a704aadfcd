"""Slow clients by the hundred, under the limits that `run` has, while a scraper wants its page."""

from __future__ import annotations

import http.client
import logging
import socket
import ssl
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import pytest

from exporter.configuration.addresses import parse_address
from exporter.serving.http.server import Limits, Server
from exporter.serving.page.application import Application
from exporter.serving.security.security import WebSecurity
from tests.exporter.serving.web_kit import (
    Authority,
    Client,
    Tick,
    ask_tls,
    serving,
    serving_securely,
    trusting,
)

# More than the connections that are kept, so that places are fought for.
SLOW = Limits().connections + 44

# A scrape takes milliseconds on a machine at rest. The worst may meet one that is busy with other tests, but
# not what a slow client that held a thread would cost, 10 s.
USUAL_SECONDS, WORST_SECONDS = 1.0, 5.0

HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
REQUEST = b"GET /metrics HTTP/1.1\r\nHost: x\r\n"


@contextmanager
def slow_clients(
    address: str, begin: Callable[[socket.socket], object], drip: bytes = b"x"
) -> Iterator[list[socket.socket]]:
    """Clients that begin, then send a byte each 50 ms, and come back where they are cut."""
    stop = threading.Event()
    with ExitStack() as stack:
        sockets = [_slow(address, begin) for _ in range(SLOW)]
        thread = threading.Thread(target=_keep_dripping, args=(address, begin, sockets, drip, stop))
        thread.start()
        stack.callback(lambda: [sock.close() for sock in sockets])
        stack.callback(thread.join)
        stack.callback(stop.set)
        yield sockets


def _slow(address: str, begin: Callable[[socket.socket], object]) -> socket.socket:
    sock = socket.socket(socket.AF_INET)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.settimeout(5)
    sock.connect(parse_address(address))
    with suppress(OSError):  # cut at once, for somebody newer
        begin(sock)
    return sock


def _keep_dripping(
    address: str,
    begin: Callable[[socket.socket], object],
    sockets: list[socket.socket],
    drip: bytes,
    stop: threading.Event,
) -> None:
    while not stop.wait(0.05):
        for index, sock in enumerate(sockets):
            try:
                sock.send(drip)
            except OSError:
                sock.close()
                sockets[index] = _slow(address, begin)
            if stop.is_set():
                return


def scrapes_are_prompt(scrape: Callable[[], object], seconds: float = 2.0) -> None:
    until = time.monotonic() + seconds
    took: list[float] = []
    while time.monotonic() < until or len(took) < 5:
        start = time.monotonic()
        scrape()
        took.append(time.monotonic() - start)
        time.sleep(0.1)
    assert statistics.median(took) < USUAL_SECONDS
    assert max(took) < WORST_SECONDS


def new_scrape(address: str) -> None:
    with closing(Client(address)) as client:
        assert client.ask("/metrics")[0].status == 200


def ask_without_reading(sock: socket.socket) -> None:
    sock.sendall(REQUEST + b"\r\n")


@pytest.mark.parametrize(
    ("begin", "drip"),
    [
        (lambda sock: None, b"G"),
        (lambda sock: sock.sendall(REQUEST), b"x"),
        (ask_without_reading, b"\r\n"),
        (lambda sock: sock.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9000\r\n\r\n"), b"x"),
    ],
    ids=["in the request line", "in the headers", "in reading the page", "in the body"],
)
def test_three_hundred_slow_clients_do_not_stop_a_scrape(
    begin: Callable[[socket.socket], object], drip: bytes
) -> None:
    with serving(Tick()) as server, slow_clients(server.bound[0], begin, drip):
        scrapes_are_prompt(lambda: new_scrape(server.bound[0]))


def test_a_kept_connection_is_not_cut_for_those_who_never_asked() -> None:
    with (
        serving(Tick()) as server,
        closing(Client(server.bound[0])) as client,
    ):
        client.ask("/metrics")
        with slow_clients(server.bound[0], lambda sock: sock.sendall(REQUEST)):
            scrapes_are_prompt(lambda: client.ask("/metrics"))


@pytest.mark.parametrize(
    "begin",
    [lambda sock: None, lambda sock: sock.sendall(HELLO)],
    ids=["before the handshake", "within it"],
)
def test_three_hundred_stalled_handshakes_do_not_stop_a_scrape(
    tmp_path: Path, begin: Callable[[socket.socket], object]
) -> None:
    authority = Authority()
    authority.issue("localhost", "127.0.0.1").write(tmp_path, "server")
    config = tmp_path / "web.yml"
    config.write_text("tls_server_config: {cert_file: server.pem, key_file: server.key}\n")
    context = trusting(authority.certificate)
    with serving_securely(config) as server, slow_clients(server.bound[0], begin, HELLO[:1]):
        scrapes_are_prompt(lambda: ask_tls(server.bound[0], context, "/metrics"))


def test_clients_slow_behind_their_handshake_do_not_stop_a_scrape(tmp_path: Path) -> None:
    authority = Authority()
    authority.issue("localhost", "127.0.0.1").write(tmp_path, "server")
    config = tmp_path / "web.yml"
    config.write_text("tls_server_config: {cert_file: server.pem, key_file: server.key}\n")
    context = trusting(authority.certificate)
    with serving_securely(config) as server, ExitStack() as stack:
        for number in range(SLOW):
            plain = socket.create_connection(parse_address(server.bound[0]), timeout=5)
            tls = stack.enter_context(context.wrap_socket(plain, server_hostname="localhost"))
            tls.sendall(REQUEST + (b"\r\n" if number % 2 else b""))
        scrapes_are_prompt(lambda: ask_tls(server.bound[0], context, "/metrics"), seconds=1.0)


def test_a_handshake_has_the_time_of_a_request(tmp_path: Path) -> None:
    authority = Authority()
    authority.issue("localhost").write(tmp_path, "server")
    (tmp_path / "web.yml").write_text("tls_server_config: {cert_file: server.pem, key_file: server.key}\n")
    security = WebSecurity(tmp_path / "web.yml")
    server = Server(["127.0.0.1:0"], Application(Tick()), Limits(request_seconds=0.4), security)
    server.bind()
    server.start()
    try:
        with socket.create_connection(parse_address(server.bound[0]), timeout=5) as sock:
            sock.sendall(HELLO)
            assert sock.recv(1) == b""
    finally:
        server.stop()


def test_more_requests_than_allowed_get_503_at_once(caplog: pytest.LogCaptureFixture) -> None:
    tick, gate = Tick(), threading.Event()
    tick.on_healthy = lambda: gate.wait(20)
    with (
        serving(tick, Limits(threads=2, requests=5, request_seconds=20.0)) as server,
        ExitStack() as stack,
        ThreadPoolExecutor(5) as pool,
    ):
        clients = [stack.enter_context(closing(Client(server.bound[0]))) for _ in range(6)]
        held = [pool.submit(client.ask, "/-/healthy") for client in clients[:5]]
        time.sleep(0.3)
        start = time.monotonic()
        response, _ = clients[5].ask("/metrics")
        assert time.monotonic() - start < WORST_SECONDS
        assert (response.status, response.headers["Retry-After"]) == (503, "1")
        gate.set()
        assert [answer.result()[0].status for answer in held] == [200] * 5
        with closing(Client(server.bound[0])) as client:
            assert client.ask("/metrics")[0].status == 200


def test_a_client_that_is_too_slow_with_its_request_hears_408() -> None:
    with (
        serving(Tick(), Limits(request_seconds=0.3)) as server,
        socket.create_connection(parse_address(server.bound[0]), timeout=5) as sock,
    ):
        sock.sendall(REQUEST)
        assert sock.recv(65536).startswith(b"HTTP/1.1 408 ")


def test_an_idle_connection_is_closed_in_its_time() -> None:
    with serving(Tick(), Limits(idle_seconds=0.3)) as server, closing(Client(server.bound[0])) as client:
        assert client.ask("/-/ready")[0].status == 200
        time.sleep(1.0)
        with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
            client.ask("/-/ready")


def test_stopping_is_prompt_with_clients_in_every_state(tmp_path: Path) -> None:
    authority = Authority()
    authority.issue("localhost", "127.0.0.1").write(tmp_path, "server")
    config = tmp_path / "web.yml"
    config.write_text("tls_server_config: {cert_file: server.pem, key_file: server.key}\n")
    context: ssl.SSLContext = trusting(authority.certificate)
    with serving_securely(config) as server, ExitStack() as stack:
        for _ in range(20):
            sock = stack.enter_context(socket.create_connection(parse_address(server.bound[0])))
            sock.sendall(HELLO)
        plain = stack.enter_context(socket.create_connection(parse_address(server.bound[0]), timeout=5))
        tls = stack.enter_context(context.wrap_socket(plain, server_hostname="localhost"))
        tls.sendall((REQUEST + b"\r\n") * 20)
        start = time.monotonic()
        server.stop()
        assert time.monotonic() - start < 2.0


def test_nothing_is_logged_of_what_clients_do(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO), serving(Tick()) as server:
        for junk in (b"\x00", b"GET / HTTP/1.1\r\n", REQUEST):
            with socket.create_connection(parse_address(server.bound[0]), timeout=5) as sock:
                sock.sendall(junk)
        new_scrape(server.bound[0])
    assert not caplog.text

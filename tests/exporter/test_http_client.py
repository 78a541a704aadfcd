"""What every request of ours has in common, over real sockets."""

from __future__ import annotations

import gzip
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from exporter.http_client import (
    Limits,
    RequestFailed,
    Tls,
    get,
    open_manager,
    reason,
    retry_after_seconds,
)
from tests.exporter.tariffs.grid_server import Answer, Asked, GridServer, serving

SECRET = {"Authorization": "Bearer s3cr3t"}
LIMITS = Limits(connect=1.0, read=1.0, whole=0.5, max_bytes=100_000)


@pytest.fixture
def server() -> Iterator[GridServer]:
    with serving() as made:
        yield made


@pytest.fixture(autouse=True)
def no_proxy_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def asked(url: str, headers: dict[str, str] | None = None) -> bytes:
    with open_manager(url) as manager:
        return get(manager, url, headers or {}, LIMITS)


def failed(url: str, headers: dict[str, str] | None = None) -> RequestFailed:
    with pytest.raises(RequestFailed) as caught:
        asked(url, headers)
    return caught.value


def test_a_small_answer_that_unpacks_to_a_large_one_ends_at_the_limit(server: GridServer) -> None:
    bomb = gzip.compress(b" " * 50_000_000)
    server.says(bomb, Content_Encoding="gzip")
    assert len(bomb) < LIMITS.max_bytes
    assert failed(server.url).kind == "size"


def test_a_packed_answer_is_unpacked(server: GridServer) -> None:
    server.says(gzip.compress(b"{}"), Content_Encoding="gzip")
    assert asked(server.url) == b"{}"


def test_what_is_packed_wrongly_is_no_answer(server: GridServer) -> None:
    server.says(b"no gzip at all", Content_Encoding="gzip")
    assert failed(server.url).kind == "cut"


@pytest.mark.parametrize(
    ("head", "drop"),
    [
        (b"HTTP/1.0 200 OK\r\n\r\n", b" "),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 90000\r\n\r\n", b" "),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10000\r\n", b" "),
    ],
    ids=["to the end", "of a length", "in chunks", "within a chunk"],
)
def test_a_body_that_comes_drop_by_drop_has_an_end(server: GridServer, head: bytes, drop: bytes) -> None:
    def drip(request: Any) -> None:
        request.wfile.write(head)
        while not server.released.wait(0.05):
            request.wfile.write(drop)

    server.handle = drip  # type: ignore[method-assign]
    began = time.monotonic()
    assert failed(server.url).kind == "timeout"
    assert time.monotonic() - began < 20 * LIMITS.whole


def test_a_redirect_elsewhere_is_told_without_what_its_address_holds(server: GridServer) -> None:
    server.says({}, 302, Location="https://me:pass@elsewhere.invalid/?token=s3cr3t")
    error = failed(server.url, SECRET)
    assert (error.kind, str(error)) == ("redirect", "redirects to https://elsewhere.invalid")


def test_a_redirect_to_another_port_or_scheme_is_another_host(server: GridServer) -> None:
    for there in (server.url.replace("http:", "https:"), "http://127.0.0.1:1/"):
        server.says({}, 307, Location=there)
        assert failed(server.url).kind == "redirect"


def test_a_header_that_cannot_be_sent_is_not_repeated(server: GridServer) -> None:
    error = failed(server.url, {"Authorization": "Bearer s3c\nr3t"})
    assert error.kind == "unusable"
    assert "s3c" not in str(error)
    assert error.__cause__ is None
    assert error.__suppress_context__
    assert server.asked == []


def test_a_status_is_told_with_when_to_come_back(server: GridServer) -> None:
    server.says({}, 429, Retry_After="7")
    error = failed(server.url)
    assert (error.kind, error.status, error.retry_after) == ("status", 429, "7")


def test_how_the_body_of_a_status_begins_is_kept_and_not_told(server: GridServer) -> None:
    server.says({"error": "too many samples"}, status=422)
    error = failed(server.url)
    assert b"too many samples" in error.body
    assert "samples" not in str(error)


@pytest.mark.parametrize(("text", "seconds"), [("7", 7.0), ("", 0.0), ("soon", 0.0), ("9" * 9999, 0.0)])
def test_when_to_come_back_is_seconds_or_nothing(text: str, seconds: float) -> None:
    assert retry_after_seconds(text, 60.0) == seconds
    assert retry_after_seconds("1000", 60.0) == 60.0


def test_a_mistake_of_ours_is_not_taken_for_a_failed_request() -> None:
    assert reason(KeyError("x")) is None


def test_certificates_that_cannot_be_read_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(RequestFailed, match="No such file"):
        open_manager("https://127.0.0.1", Tls(tmp_path / "absent"))


def test_a_proxy_of_the_environment_is_asked_with_its_password(
    server: GridServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", server.url.replace("//", "//me:p%40ss@"))
    server.says(b"[]")
    assert asked("http://node.invalid/x") == b"[]"
    (request,) = server.asked
    assert request.path == "http://node.invalid/x"
    assert request.headers["proxy-authorization"] == "Basic bWU6cEBzcw=="


@pytest.mark.parametrize("spared", ["127.0.0.1", "127.0.0.0/8, 10.0.0.0/8", "*"])
def test_no_proxy_names_hosts_and_networks(
    server: GridServer, monkeypatch: pytest.MonkeyPatch, spared: str
) -> None:
    monkeypatch.setenv("http_proxy", "http://proxy.invalid:3128")
    monkeypatch.setenv("no_proxy", spared)
    server.says(b"[]")
    assert asked(server.url) == b"[]"


def test_a_proxy_that_is_not_there_is_told(server: GridServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "127.0.0.1:1")
    assert failed(server.url).kind == "unreachable"
    assert server.asked == []


def test_one_connection_serves_many_requests(server: GridServer) -> None:
    ports: set[int] = set()
    handle: Callable[[Any], None] = server.handle

    def noted(request: Any) -> None:
        ports.add(request.client_address[1])
        request.protocol_version = "HTTP/1.1"
        request.close_connection = False
        handle(request)

    server.handle = noted  # type: ignore[method-assign]
    server.answer = lambda _: Answer({}, headers={"Connection": "keep-alive"})
    with open_manager(server.url) as manager:
        for _ in range(3):
            get(manager, server.url, {}, LIMITS)
    assert len(ports) == 1


def test_every_request_says_who_asks(server: GridServer) -> None:
    seen: list[Asked] = server.asked
    server.says({})
    asked(server.url)
    assert seen[0].headers["user-agent"].startswith("podjoule/")
    assert seen[0].headers["accept"] == "application/json"


def test_who_asks_nobody_does_not_import_it() -> None:
    code = "import exporter.commands.run, sys; assert not {'kubernetes', 'urllib3'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0

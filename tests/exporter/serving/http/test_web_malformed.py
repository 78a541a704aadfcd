"""Bad input: the head's parser on its own, and ten thousand requests to a server over real connections."""

from __future__ import annotations

import gc
import logging
import re
import resource
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tornado.httputil import HTTPHeaders, RequestStartLine

from exporter.configuration.addresses import parse_address
from exporter.serving.http.head import head_length, read_request
from exporter.serving.http.lanes import Effort
from exporter.serving.http.refusals import BadRequest
from exporter.serving.http.server import Server
from exporter.serving.page.responses import Response
from tests.exporter.serving.web_kit import Tick, n_open, running, serving, wait_for

LIMIT = 16_384
GET = b"GET /metrics HTTP/1.1\r\nHost: x\r\n"


def ask(server: Server, head: bytes) -> tuple[list[bytes], bool]:
    """Statuses, and whether the connection goes on for a second request."""
    with socket.create_connection(parse_address(server.bound[0]), timeout=5) as sock:
        sock.sendall(head + b"GET /-/ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        statuses = _statuses(b"".join(iter(lambda: sock.recv(65536), b"")))
    return statuses, len(statuses) == 2


def test_a_request_is_read() -> None:
    line = RequestStartLine("GET", "/a%20b/%C3%A4?x=%zz", "HTTP/1.1")
    request = read_request(
        line, HTTPHeaders.parse("hOST: h:1\r\nAccept: a\r\naccept:\t b \r\n"), "::1", LIMIT
    )
    assert request.environ == {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/a b/\xc3\xa4",
        "QUERY_STRING": "x=%zz",
        "REMOTE_ADDR": "::1",
        "HTTP_HOST": "h:1",
        "HTTP_ACCEPT": "a,b",
    }
    assert not request.is_last


@pytest.mark.parametrize(
    ("line", "headers", "keep_alive"),
    [
        ("GET / HTTP/1.1", "Host: x\r\nConnection: close", False),
        ("GET / HTTP/1.1", "Host: x\r\nConnection: TE, Close", False),
        ("GET / HTTP/1.0", "Host: x", False),
        ("GET / HTTP/1.0", "Connection: Keep-Alive", True),
        ("GET http://x.example/ HTTP/1.1", "Host: x", True),
    ],
)
def test_who_goes_on_after_the_answer(server: Server, line: str, headers: str, keep_alive: bool) -> None:
    statuses, goes_on = ask(server, f"{line}\r\n{headers}\r\n\r\n".encode())
    assert (statuses[0], goes_on) == (b"200", keep_alive)


MALFORMED = {
    "no version (HTTP/0.9)": b"GET /\r\n",
    "HTTP/2's preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/1.2": GET.replace(b"1.1", b"1.2") + b"\r\n",
    "HTTP/9.9": GET.replace(b"1.1", b"9.9") + b"\r\n",
    "HTTP/1.10": GET.replace(b"1.1", b"1.10") + b"\r\n",
    "lower-case version": GET.replace(b"HTTP", b"http") + b"\r\n",
    "bare LF": GET.replace(b"\r\n", b"\n") + b"\n",
    "bare LF after a field": GET + b"A: b\nC: d\r\n\r\n",
    "bare CR in a field": GET + b"A: b\rC: d\r\n\r\n",
    "NUL in a field": GET + b"A: b\x00\r\n\r\n",
    "NUL in the target": GET.replace(b"/metrics", b"/\x00") + b"\r\n",
    "8-bit target": GET.replace(b"/metrics", b"/\xff") + b"\r\n",
    "two blanks": GET.replace(b" /", b"  /") + b"\r\n",
    "tab": GET.replace(b" /", b"\t/") + b"\r\n",
    "relative target": GET.replace(b"/metrics", b"metrics") + b"\r\n",
    "fragment": GET.replace(b"/metrics", b"/metrics#a") + b"\r\n",
    "bad escape": GET.replace(b"/metrics", b"/%zz") + b"\r\n",
    "cut escape": GET.replace(b"/metrics", b"/%4") + b"\r\n",
    "unknown scheme": GET.replace(b"/metrics", b"ftp://x/") + b"\r\n",
    "no Host": b"GET / HTTP/1.1\r\n\r\n",
    "two Hosts": GET + b"Host: y\r\n\r\n",
    "blank before the colon": GET + b"A : b\r\n\r\n",
    "folded field": GET + b"A: b\r\n c\r\n\r\n",
    "field without a colon": GET + b"Abc\r\n\r\n",
    "field without a name": GET + b": b\r\n\r\n",
    "two Authorizations": GET + b"Authorization: a\r\nAuthorization: b\r\n\r\n",
    "length and encoding": GET + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n",
    "two lengths": GET + b"Content-Length: 0\r\nContent-Length: 5\r\n\r\n",
    "listed lengths": GET + b"Content-Length: 5, 5\r\n\r\n",
    "negative length": GET + b"Content-Length: -1\r\n\r\n",
    "signed length": GET + b"Content-Length: +1\r\n\r\n",
    "hexadecimal length": GET + b"Content-Length: 0x1\r\n\r\n",
    "length with _": GET + b"Content-Length: 1_0\r\n\r\n",
    "endless length": GET + b"Content-Length: " + b"9" * 100 + b"\r\n\r\n",
    "huge body": GET + b"Content-Length: 99999999\r\n\r\n",
    "encoding in HTTP/1.0": GET.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n",
    "unknown encoding": GET + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
    "obscured encoding": GET + b"Transfer-Encoding: \x0bchunked\r\n\r\n",
    "many fields": GET + b"".join(b"A%d: b\r\n" % n for n in range(200)) + b"\r\n",
    "long field": GET + b"A: " + b"x" * LIMIT + b"\r\n\r\n",
    "long target": b"GET /" + b"x" * LIMIT,
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x01" * 300,
    "text": b"hello there, what is this port?\r\n",
    "empty lines": b"\r\n\r\n\r\n\r\n",
}


@pytest.mark.parametrize("request_bytes", MALFORMED.values(), ids=MALFORMED)
def test_what_is_no_request_gets_a_4xx_at_once_and_the_connection_ends(
    server: Server, request_bytes: bytes
) -> None:
    start = time.monotonic()
    with socket.create_connection(parse_address(server.bound[0]), timeout=5) as sock:
        sock.sendall(request_bytes)
        reply = b"".join(iter(lambda: sock.recv(65536), b""))
    assert time.monotonic() - start < 2.0  # not after the time that a request has
    assert [status[:1] for status in _statuses(reply)] == [b"4"]


def test_requests_that_come_together_are_answered_though_they_are_longer_than_one_may_be(
    server: Server,
) -> None:
    each = GET.replace(b"/metrics", b"/-/ready") + b"A: " + b"x" * 4_000 + b"\r\n"
    with socket.create_connection(parse_address(server.bound[0]), timeout=5) as sock:
        sock.sendall(b"\r\n" + (each + b"\r\n") * 9 + each + b"Connection: close\r\n\r\n")
        reply = b"".join(iter(lambda: sock.recv(65536), b""))
    assert _statuses(reply) == [b"200"] * 10


SMUGGLED = b"GET /-/ready HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: %d\r\n" % len(SMUGGLED),
        b"Transfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
        b"Content-Length: 0\r\nContent-Length: %d\r\n" % len(SMUGGLED),
        b"Content_Length: 0\r\nContent-Length: %d\r\n" % len(SMUGGLED),
    ],
)
def test_no_body_is_taken_for_a_request(server: Server, head: bytes) -> None:
    with socket.create_connection(parse_address(server.bound[0]), timeout=5) as sock:
        sock.sendall(b"GET /nowhere HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n" + SMUGGLED)
        reply = b"".join(iter(lambda: sock.recv(65536), b""))
    assert b"ready" not in reply


class Speaker:
    """An application that says what it is told to, and remembers what it was asked."""

    def __init__(self, response: Response | None = None) -> None:
        self.response = response
        self.seen: dict[str, str] = {}

    def effort(self, environ: Mapping[str, str]) -> Effort:
        return Effort.SCRAPE

    def respond(self, environ: Mapping[str, str]) -> Response:
        self.seen.update(environ)
        if self.response is None:
            raise RuntimeError
        return self.response


def test_fields_with_underscores_are_not_taken_for_those_with_dashes() -> None:
    speaker = Speaker()
    with running(Server(["127.0.0.1:0"], speaker)) as server:
        reply = _exchange(server, GET + b"X_Real: a\r\nX-Other: b\r\n\r\n")
    assert "HTTP_X_OTHER" in speaker.seen
    assert "HTTP_X_REAL" not in speaker.seen
    assert _statuses(reply) == [b"500"]
    assert b"Traceback" not in reply


@pytest.mark.parametrize("value", ["/\r\nSet-Cookie: a", "/\nSet-Cookie: a", "/\x00"])
def test_an_application_cannot_end_a_header_early(value: str, caplog: pytest.LogCaptureFixture) -> None:
    with running(
        Server(["127.0.0.1:0"], Speaker(Response("302 Found", b"", headers=(("Location", value),))))
    ) as server:
        reply = _exchange(server, GET + b"\r\n")
    assert _statuses(reply) == [b"500"]
    assert b"Set-Cookie" not in reply


@given(data=st.binary(max_size=400))
def test_a_head_is_found_the_same_in_one_piece_and_byte_by_byte(data: bytes) -> None:
    def first(received: bytes) -> int | str:
        try:
            return head_length(received, LIMIT)
        except BadRequest as bad:
            return bad.status

    whole = first(data)
    found = next((result for end in range(len(data) + 1) if (result := first(data[:end]))), 0)
    assert found == whole


@given(data=st.binary(max_size=64), limit=st.integers(16, 64))
def test_what_is_taken_for_a_head_is_one(data: bytes, limit: int) -> None:
    """Whatever a client sends, tornado reads CR LF lines alone, and no more than the limit of them."""
    for sent in (data, GET[:16] + data, GET + data, GET + b"A: " + data + b"\r\n\r\n"):
        with suppress(BadRequest):
            head = sent[: head_length(sent, limit)]
            assert len(head) <= limit
            assert b"\n" not in head.replace(b"\r\n", b"")
            assert not head or head.endswith(b"\r\n\r\n")


tokens = st.sampled_from(
    ["GET", "HEAD", "POST", "OPTIONS", "CONNECT", "get", "G E T", "", "TRACE", "\x00", "é"]
)
targets = st.one_of(
    st.sampled_from(
        ["/", "/metrics", "*", "//", "/%00", "/%2e%2e/", "http://x/metrics", "x:80", "/?a=b", "?"]
    ),
    st.text(max_size=30).map(lambda text: f"/{text}"),
)
versions = st.sampled_from(
    ["HTTP/1.1", "HTTP/1.0", "HTTP/0.9", "HTTP/2.0", "HTTP/1", "HTTP/1.1.1", "", "FTP/1.1"]
)
fields = st.one_of(
    st.sampled_from(
        [
            "Host: x",
            "Host:",
            "Content-Length: 5",
            "Content-Length: -5",
            "Content-Length: 99999999999999999999",
            "Transfer-Encoding: chunked",
            "Transfer-Encoding: identity",
            "Connection: keep-alive",
            "Connection: close",
            "Expect: 100-continue",
            "Accept: application/openmetrics-text;version=1.0.0;q=x",
            "Accept-Encoding: gzip;q=0",
            "Authorization: Basic !!!!",
            "Upgrade: h2c",
            " folded",
            "Range: bytes=0-",
        ]
    ),
    st.tuples(st.text(max_size=8), st.text(max_size=30)).map(":".join),
)
endings = st.sampled_from(["\r\n", "\r\n", "\r\n", "\n", "\r"])
bodies = st.sampled_from(
    [b"", b"", b"5\r\nhello\r\n0\r\n\r\n", b"zz\r\n", b"-1\r\n", b"x" * 20_000, SMUGGLED]
)


@st.composite
def built(draw: st.DrawFn) -> bytes:
    """Nearly a request."""
    ending = draw(endings)
    line = " ".join((draw(tokens), draw(targets), draw(versions)))
    head = ending.join([line, *draw(st.lists(fields, max_size=4)), "", ""])
    return head.encode("utf-8", "surrogatepass") + draw(bodies)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A request with some bytes exchanged."""
    data = bytearray(GET + b"Accept: text/plain\r\nAccept-Encoding: gzip\r\n\r\n")
    for _ in range(draw(st.integers(1, 4))):
        position = draw(st.integers(0, len(data) - 1))
        data[position : position + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
        data = data or bytearray(b"G")
    return bytes(data)


requests = st.one_of(built(), mutated(), st.binary(min_size=1, max_size=200))
_N_EXAMPLES, _EACH = 1_000, 10


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving(Tick()) as server:
        yield server


def test_ten_thousand_bad_requests_get_no_5xx_and_leave_nothing_behind(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    statuses: Counter[str] = Counter()

    @settings(
        max_examples=_N_EXAMPLES,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(st.lists(requests, min_size=_EACH, max_size=_EACH))
    def send_all(batch: list[bytes]) -> None:
        for data in batch:
            reply = _exchange(server, data)
            found = _statuses(reply)
            statuses.update(status.decode() for status in found or [b"none"])
            assert not any(status.startswith(b"5") for status in found)
            assert b"Traceback" not in reply
            assert b'File "' not in reply

    with caplog.at_level(logging.INFO):
        send_all()
        gc.collect()
        before = n_open(), threading.active_count(), _resident_kib()
        for data in MALFORMED.values():
            for _ in range(20):
                _exchange(server, data)
        # A connection lingers for a second, and tests before this one may have left clients that try again.
        wait_for(lambda: n_open() <= before[0])
        gc.collect()
    assert threading.active_count() <= before[1]
    assert _resident_kib() - before[2] < 8_192
    assert not caplog.text
    assert statuses.total() >= _N_EXAMPLES * _EACH
    assert statuses["400"] > 0
    assert statuses["200"] > 0
    assert _exchange(server, GET + b"\r\n").startswith(b"HTTP/1.1 200 OK")


def _exchange(server: Server, data: bytes) -> bytes:
    """All that is answered to the bytes, after which the client has no more to say."""
    with socket.create_connection(parse_address(server.bound[0]), timeout=5) as sock:
        reply = b""
        with suppress(ConnectionError):
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            while piece := sock.recv(1_048_576):
                reply += piece
        return reply


def _statuses(reply: bytes) -> list[bytes]:
    return re.findall(rb"(?:^|\n)HTTP/1\.1 (\d\d\d) ", reply)


def _resident_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

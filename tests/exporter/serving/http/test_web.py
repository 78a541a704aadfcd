from __future__ import annotations

import gzip
import re
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from ebpf.errors import UsageError
from ebpf.version import VERSION
from exporter.configuration.addresses import parse_address
from exporter.serving.http.server import Limits, Server
from exporter.serving.page.application import Application
from tests.exporter.reference import reference
from tests.exporter.serving.web_kit import FAMILIES, Client, Tick, ended_by, serving

LIMITS = Limits(threads=2, request_seconds=0.4, idle_seconds=5.0, grace_seconds=0.5)

# Under a second on a machine at rest; without our own doing any of these would take four and more.
PROMPT_SECONDS = 2.0


@pytest.fixture
def tick() -> Tick:
    return Tick()


@pytest.fixture
def server(tick: Tick) -> Iterator[Server]:
    with serving(tick, LIMITS) as server:
        yield server


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with closing(Client(server.bound[0])) as client:
        yield client


def test_metrics_are_served_as_rendered(client: Client) -> None:
    response, body = client.ask("/metrics")
    assert response.status == 200
    assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert body == reference(FAMILIES)


def test_metrics_are_compressed_and_in_openmetrics_for_those_who_ask(client: Client) -> None:
    accept = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
    response, body = client.ask("/metrics", Accept=accept, Accept_Encoding="gzip")
    assert response.headers["Content-Encoding"] == "gzip"
    assert response.headers["Content-Type"].startswith(
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    )
    assert "Accept-Encoding" in response.headers["Vary"]
    assert gzip.decompress(body) == reference(FAMILIES, openmetrics=True)


@pytest.mark.parametrize("path", ["/", "/metrics", "/-/healthy", "/-/ready", "/nowhere"])
def test_head_is_get_without_the_body(client: Client, path: str) -> None:
    get, _ = client.ask(path)
    head, body = client.ask(path, "HEAD")
    assert not body
    assert head.status == get.status
    unlike = {"Date"}
    assert {item for item in head.getheaders() if item[0] not in unlike} == {
        item for item in get.getheaders() if item[0] not in unlike
    }


def test_concurrent_scrapers_get_identical_bytes(server: Server) -> None:
    def scrape(_: int) -> set[bytes]:
        with closing(Client(server.bound[0])) as client:
            return {client.ask("/metrics", Accept_Encoding="gzip")[1] for _ in range(5)}

    with ThreadPoolExecutor(8) as pool:
        bodies = set().union(*pool.map(scrape, range(8)))
    assert len(bodies) == 1


def test_not_ready_until_the_first_tick_is_done(tick: Tick, client: Client) -> None:
    page, tick.page = tick.page, None
    assert client.ask("/-/ready")[0].status == 503
    assert client.ask("/metrics")[0].status == 503
    assert client.ask("/-/healthy")[0].status == 200
    tick.page = page
    assert client.ask("/-/ready")[0].status == 200


def test_unhealthy_with_the_reason_when_the_tick_is_stuck(tick: Tick, client: Client) -> None:
    tick.reason = "the last tick started 31 s ago"
    response, body = client.ask("/-/healthy")
    assert (response.status, body) == (503, b"the last tick started 31 s ago\n")


def test_the_page_names_the_version_leads_on_and_asks_nobody_else(client: Client) -> None:
    response, body = client.ask("/")
    text = body.decode()
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    assert VERSION in text
    links = set(re.findall(r'(?:href|src)="([^"]*)"', text))
    assert {"metrics", "-/healthy", "-/ready", "api/v1/openapi.json"} < links
    # Relative, so that it works behind any prefix; and no word of the policy has to be softened for it.
    assert not [link for link in links if re.match("[a-z]+:|/", link)]
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=", text)


def test_everything_that_the_page_needs_is_served_and_kept_until_it_changes(client: Client) -> None:
    files = re.findall(r'(?:href|src)="(ui/[^"]*)"', client.ask("/")[1].decode())
    imported = re.findall(r'from "\./([^"]*)"', client.ask("/ui/app.js")[1].decode())
    for path in {*files, *(f"ui/{name}" for name in imported)}:
        response, body = client.ask(f"/{path}")
        assert (response.status, bool(body)) == (200, True), path
        assert response.headers.get_all("Cache-Control") == ["no-cache"]
        again, nothing = client.ask(f"/{path}", If_None_Match=response.headers["ETag"])
        assert (again.status, nothing) == (304, b"")


@pytest.mark.parametrize("path", ["/ui/", "/ui/../page.py", "/ui/nothing.js", "/ui/%2e%2e/page.py"])
def test_nothing_but_the_files_of_the_page_is_served(client: Client, path: str) -> None:
    assert client.ask(path)[0].status == 404


def test_the_api_says_503_until_there_is_a_view_and_404_for_what_it_has_not(client: Client) -> None:
    assert client.ask("/api/v1/status")[0].status == 503
    assert client.ask("/api/v1/nothing")[0].status == 404
    assert client.ask("/api/v1/openapi.json")[0].headers["Content-Type"] == "application/json"


def test_other_paths_and_methods_are_refused(client: Client) -> None:
    assert client.ask("/metrics/")[0].status == 404
    response, _ = client.ask("/metrics", "POST")
    assert (response.status, response.headers["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("path", ["/", "/metrics", "/nowhere"])
def test_every_answer_has_the_headers_that_keep_browsers_safe(client: Client, path: str) -> None:
    headers = client.ask(path)[0].headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    policy = headers["Content-Security-Policy"].split("; ")
    assert policy[0] == "default-src 'none'"
    assert {each.split()[-1] for each in policy} == {"'none'", "'self'"}
    assert headers["Server"] == "podjoule"


def test_a_chunked_body_is_not_taken_for_the_next_request(client: Client) -> None:
    hidden = b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n"
    request = b"GET /-/ready HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n"
    with client.socket() as sock:
        sock.sendall(request % (len(hidden), hidden))
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"Connection: close" in answer


def test_headers_and_bodies_beyond_the_limit_are_refused(client: Client) -> None:
    assert client.ask("/metrics", X_Long="x" * LIMITS.header_bytes)[0].status == 431
    with closing(Client(f"{client.host}:{client.port}")) as other:
        assert other.ask("/metrics", "POST", Content_Length=str(10**9))[0].status == 413


def test_slow_clients_are_dropped_and_block_nobody(client: Client) -> None:
    with ExitStack() as stack:
        slow = [stack.enter_context(client.socket()) for _ in range(2 * LIMITS.threads)]
        for sock in slow:
            sock.sendall(b"GET /metrics HTTP/1.1\r\nHost:")
        stop = threading.Event()
        drip = threading.Thread(target=_drip, args=(slow, stop))
        drip.start()
        with ended_by(stop):
            assert client.ask("/metrics")[0].status == 200
            assert all(_ended(sock) for sock in slow)
        drip.join()


def _drip(sockets: list[socket.socket], stop: threading.Event) -> None:
    """A byte now and then, which puts off any timeout that counts from the last byte."""
    while not stop.wait(0.05):
        for sock in sockets:
            try:
                sock.sendall(b"x")
            except OSError:
                continue


def _ended(sock: socket.socket) -> bool:
    try:
        while sock.recv(65536):
            pass
    except ConnectionError:
        return True
    return True


def test_a_client_that_does_not_read_is_dropped_and_blocks_nobody(client: Client) -> None:
    with ExitStack() as stack:
        for _ in range(LIMITS.threads):
            sock = stack.enter_context(client.socket())
            sock.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 20)
        assert client.ask("/metrics")[0].status == 200


def test_a_server_whose_clients_are_idle_does_not_wake_and_still_drops_them_in_time(tick: Tick) -> None:
    limits = Limits(request_seconds=5.0, idle_seconds=2.0)
    with serving(tick, limits) as server, closing(Client(server.bound[0])) as client, client.socket() as sock:
        sock.sendall(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n")
        assert sock.recv(65_536).startswith(b"HTTP/1.1 200")
        time.sleep(0.5)
        before = _wakes_of_the_loop()
        time.sleep(1.0)
        assert _wakes_of_the_loop() == before
        began = time.monotonic()
        assert _ended(sock)
        assert time.monotonic() - began < PROMPT_SECONDS


def _wakes_of_the_loop() -> int:
    (loop,) = (thread for thread in threading.enumerate() if thread.name == "web-loop")
    status = Path(f"/proc/self/task/{loop.native_id}/status").read_text()
    return int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])


def test_silent_connections_take_no_thread(client: Client) -> None:
    with ExitStack() as stack:
        for _ in range(10 * LIMITS.threads):
            stack.enter_context(client.socket())
        start = time.monotonic()
        assert client.ask("/metrics")[0].status == 200
        assert time.monotonic() - start < PROMPT_SECONDS


def test_connections_are_bounded_and_a_new_one_takes_the_place_of_the_oldest_that_never_asked(
    tick: Tick,
) -> None:
    with serving(tick, Limits(connections=3)) as server, ExitStack() as stack:
        client = stack.enter_context(closing(Client(server.bound[0])))
        assert client.ask("/-/ready")[0].status == 200
        sockets = [stack.enter_context(client.socket()) for _ in range(6)]
        assert [_ended(sock) for sock in sockets[:4]] == [True] * 4
        for sock in sockets[4:]:
            sock.sendall(b"GET /-/ready HTTP/1.1\r\nHost: x\r\n\r\n")
            assert sock.recv(65536).startswith(b"HTTP/1.1 200 OK")
        assert client.ask("/-/ready")[0].status == 200


def test_requests_under_way_are_finished_when_the_server_stops(tick: Tick) -> None:
    reached = threading.Event()
    tick.on_healthy = lambda: (reached.set(), time.sleep(0.3))
    with serving(tick) as server, closing(Client(server.bound[0])) as client, ThreadPoolExecutor(1) as pool:
        answer = pool.submit(client.ask, "/-/healthy")
        reached.wait()
        start = time.monotonic()
        server.stop()
        assert time.monotonic() - start < PROMPT_SECONDS
        assert answer.result()[0].status == 200


def test_stop_is_prompt_and_frees_the_port_whatever_clients_do(tick: Tick) -> None:
    with serving(tick, None, ["127.0.0.1:0", "127.0.0.1:0"]) as server, ExitStack() as stack:
        before, addresses = threading.active_count(), server.bound
        for address in addresses:
            client = stack.enter_context(closing(Client(address)))
            client.ask("/-/ready")
            stack.enter_context(client.socket()).sendall(b"GET /metrics HTT")
        time.sleep(0.05)
        start = time.monotonic()
        server.stop()
        assert time.monotonic() - start < PROMPT_SECONDS
    assert threading.active_count() < before
    with closing(socket.create_server(parse_address(addresses[0]))):
        assert server.bound == []


def test_a_server_that_was_bound_only_can_be_stopped(tick: Tick) -> None:
    server = Server(["127.0.0.1:0"], Application(tick))
    server.bind()
    server.stop()
    assert server.bound == []


def test_a_taken_port_is_a_usage_error_that_says_what_to_do_and_leaves_nothing_open(tick: Tick) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        server = Server(["127.0.0.1:0", taken], Application(tick))
        with pytest.raises(UsageError, match=f"'{taken}'.*in use.*choose another port"):
            server.bind()
        assert server.bound == []


def test_clients_that_come_before_the_start_are_answered_after_it(tick: Tick) -> None:
    server = Server(["127.0.0.1:0"], Application(tick))
    server.bind()
    with closing(Client(server.bound[0])) as client, ThreadPoolExecutor(1) as pool:
        answer = pool.submit(client.ask, "/-/ready")
        time.sleep(0.05)
        server.start()
        assert answer.result()[0].status == 200
    server.stop()


def test_no_host_means_all_interfaces_of_both_families(tick: Tick) -> None:
    with serving(tick, None, [":0"]) as server:
        port = server.bound[0].rpartition(":")[2]
        for host in ["127.0.0.1", "[::1]"] if socket.has_dualstack_ipv6() else ["127.0.0.1"]:
            with closing(Client(f"{host}:{port}")) as client:
                assert client.ask("/-/ready")[0].status == 200


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
@pytest.mark.parametrize(
    ("addresses", "families"),
    [
        (["[::]:{port}"], [[4, 6]]),
        (["[0:0::0]:{port}"], [[4, 6]]),
        ([":{port}", "[::]:{port}"], [[4, 6]]),
        (["[::]:{port}", "0.0.0.0:{port}"], [[6], [4]]),
        (["127.0.0.1:{port}", "[::]:{port}"], [[4], [6]]),
        (["[::1]:{port}"], [[6]]),
    ],
)
def test_the_interfaces_of_both_families_are_meant_unless_one_has_an_address_of_its_own(
    tick: Tick, addresses: list[str], families: list[list[int]]
) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        port = other.getsockname()[1]
    with serving(tick, None, [address.format(port=port) for address in addresses]) as server:
        assert len(server.bound) == len(families)
        for number, host in ((4, "127.0.0.1"), (6, "::1")):
            with closing(socket.socket(socket.AF_INET if number == 4 else socket.AF_INET6)) as sock:
                taken = sock.connect_ex((host, port)) == 0
            assert taken is any(number in each for each in families)


def test_two_addresses_of_one_port_are_told_apart_by_a_port_that_the_kernel_chooses(tick: Tick) -> None:
    with serving(tick, None, [":0", "[::]:0"]) as server:
        assert len(set(server.bound)) == 2


def test_a_client_that_has_said_all_still_gets_its_answer(tick: Tick) -> None:
    tick.on_healthy = lambda: time.sleep(0.2)
    with serving(tick) as server:
        for path, least in (("/-/healthy", 8), ("/metrics", len(reference(FAMILIES)))):
            with socket.create_connection(parse_address(server.bound[0]), timeout=5) as sock:
                sock.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                sock.shutdown(socket.SHUT_WR)
                answer = b"".join(iter(lambda: sock.recv(1_048_576), b""))
            assert answer.startswith(b"HTTP/1.1 200 OK")
            assert len(answer) > least


def test_an_error_of_ours_is_a_500_and_is_logged(
    tick: Tick, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    tick.on_healthy = lambda: 1 / 0
    assert client.ask("/-/healthy")[0].status == 500
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (":28283", ("", 28283)),
        ("127.0.0.1:0", ("127.0.0.1", 0)),
        ("[::1]:9", ("::1", 9)),
        ("node.example:1", ("node.example", 1)),
    ],
)
def test_an_address_is_host_and_port(address: str, expected: tuple[str, int]) -> None:
    assert parse_address(address) == expected


@pytest.mark.parametrize(
    "address", ["", "28283", "host", "host:", ":http", ":65536", ":-1", "::1:9", "http://x:80"]
)
def test_what_is_no_address_is_a_usage_error(address: str) -> None:
    with pytest.raises(UsageError, match="listen address"):
        parse_address(address)


@pytest.mark.parametrize("address", ["192.0.2.1:0", "no.such.host.invalid:80"])
def test_an_address_that_is_not_ours_is_a_usage_error(address: str, tick: Tick) -> None:
    with pytest.raises(UsageError, match=address.split(":")[0]):
        Server([address], Application(tick)).bind()

"""Passwords: what they cost whom, and what is kept of them. Costs are runs of bcrypt, not seconds."""

from __future__ import annotations

import base64
import gc
import http.client
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import bcrypt
import pytest

from exporter.configuration.addresses import parse_address
from exporter.serving.security.guard import credentials
from exporter.serving.security.passwords import Passwords, Verdict, neighbourhood
from tests.exporter.serving.server_process import server_process
from tests.exporter.serving.web_kit import Client, Tick, ended_by, hashed, serving_securely

USERS = {"prometheus": hashed("right").encode(), "second": hashed("other", cost=5).encode()}


class Bcrypt:
    """bcrypt, counted by cost; `held` keeps it from ending."""

    def __init__(self) -> None:
        self.costs: Counter[int] = Counter()
        self.at_a_time = self.most_at_a_time = 0
        self.held = threading.Event()
        self.held.set()

    @property
    def runs(self) -> int:
        return self.costs.total()

    def __call__(self, password: bytes, stored: bytes) -> bool:
        self.at_a_time += 1
        self.most_at_a_time = max(self.most_at_a_time, self.at_a_time)
        self.held.wait(5)
        self.costs[int(stored.split(b"$")[2])] += 1
        result = bcrypt.checkpw(password, stored)
        self.at_a_time -= 1
        return result


@pytest.fixture
def runs() -> Bcrypt:
    return Bcrypt()


class Clock:
    """Stands still, so that no wrong password keeps the next one waiting; `now` may be set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def passwords(runs: Bcrypt) -> Passwords:
    return Passwords(runs, Clock())


def judge(passwords: Passwords, user: str, password: str, client: str = "10.0.0.1") -> Verdict:
    return passwords.judge(USERS, user, password.encode(), client)


def test_the_right_password_is_accepted_and_no_other(passwords: Passwords) -> None:
    assert judge(passwords, "prometheus", "right") is Verdict.ACCEPTED
    for user, password in [
        ("prometheus", "wrong"),
        ("prometheus", ""),
        ("prometheus", "right "),
        ("prometheus", "other"),
        ("Prometheus", "right"),
        ("", "right"),
        ("nobody", "right"),
        ("nobody", "other"),
    ]:
        assert judge(passwords, user, password) is Verdict.REFUSED


def test_bcrypt_runs_once_for_each_pair_right_or_wrong(passwords: Passwords, runs: Bcrypt) -> None:
    for _ in range(50):
        assert judge(passwords, "prometheus", "right") is Verdict.ACCEPTED
        assert judge(passwords, "prometheus", "wrong") is Verdict.REFUSED
        assert judge(passwords, "nobody", "right") is Verdict.REFUSED
    assert runs.runs == 3


def test_an_unknown_user_costs_what_a_known_one_costs(runs: Bcrypt) -> None:
    """Each unknown name stands for one known user, always the same, so that costs tell nothing."""
    passwords = Passwords(runs, Clock())
    for name in ["prometheus", "second"]:
        judge(passwords, name, "wrong")
    assert runs.costs == {4: 1, 5: 1}
    seen: set[int] = set()
    for number in range(40):
        before = runs.costs.copy()
        for password in ("a", "b", "c"):
            judge(passwords, f"nobody-{number}", password)
        spent = runs.costs - before
        assert list(spent.values()) == [3]
        seen |= set(spent)
    assert seen == {4, 5}


def test_a_new_hash_is_asked_anew(passwords: Passwords) -> None:
    assert judge(passwords, "prometheus", "right") is Verdict.ACCEPTED
    changed = {**USERS, "prometheus": hashed("changed").encode()}
    assert passwords.judge(changed, "prometheus", b"right", "10.0.0.1") is Verdict.REFUSED
    assert passwords.judge(changed, "prometheus", b"changed", "10.0.0.1") is Verdict.ACCEPTED
    del changed["prometheus"]
    assert passwords.judge(changed, "prometheus", b"changed", "10.0.0.1") is Verdict.REFUSED


def test_user_and_password_are_not_run_together(passwords: Passwords, runs: Bcrypt) -> None:
    for user, password in [("ab", "c"), ("a", "bc"), ("abc", "")]:
        judge(passwords, user, password)
    assert runs.runs == 3


def test_a_flood_of_wrong_passwords_forgets_no_right_one_and_memory_is_bounded() -> None:
    checks = 0

    def check(password: bytes, stored: bytes) -> bool:
        nonlocal checks
        checks += 1
        return password == b"right"

    passwords = Passwords(check, Clock())
    assert judge(passwords, "prometheus", "right") is Verdict.ACCEPTED
    for number in range(10_000):
        judge(passwords, "prometheus", f"wrong-{number}", client=f"10.0.{number % 256}.{number // 256}")
    assert checks == 10_001
    assert judge(passwords, "prometheus", "right") is Verdict.ACCEPTED
    assert checks == 10_001
    assert len(passwords._refused._values) <= 4_096
    assert len(passwords._not_before._values) <= 4_096
    assert not passwords._waiting


def test_no_password_is_kept(passwords: Passwords) -> None:
    secret = b"correct horse battery staple"
    passwords.judge(USERS, "prometheus", bytes(secret), "10.0.0.1")
    gc.collect()
    kept = [
        item
        for recent in (passwords._accepted, passwords._refused, passwords._not_before)
        for item in (*recent._values, *recent._values.values())
    ]
    assert kept
    assert not any(isinstance(item, bytes) and secret in item for item in kept)


def test_a_client_that_was_wrong_waits_and_nobody_else_does() -> None:
    clock = Clock()

    def check(password: bytes, stored: bytes) -> bool:
        clock.now += 0.1
        return bcrypt.checkpw(password, stored)

    passwords = Passwords(check, clock)
    assert judge(passwords, "prometheus", "wrong") is Verdict.REFUSED
    assert judge(passwords, "prometheus", "right") is Verdict.BUSY
    assert judge(passwords, "prometheus", "wrong") is Verdict.REFUSED  # known, and so for nothing
    assert judge(passwords, "prometheus", "right", client="10.0.0.2") is Verdict.ACCEPTED
    clock.now += 1.0
    assert judge(passwords, "second", "other") is Verdict.ACCEPTED


def test_one_at_a_time_is_computed_and_few_wait(passwords: Passwords, runs: Bcrypt) -> None:
    runs.held.clear()
    with ThreadPoolExecutor(16) as pool:
        flood = [pool.submit(judge, passwords, "prometheus", f"wrong-{n}") for n in range(12)]
        _until(lambda: sum(answer.done() for answer in flood) == 10)
        other = pool.submit(judge, passwords, "prometheus", "right", "10.0.0.2")
        time.sleep(0.1)
        assert not other.done()  # there is a place for another client
        runs.held.set()
        assert other.result() is Verdict.ACCEPTED
        assert Counter(answer.result() for answer in flood) == {Verdict.BUSY: 10, Verdict.REFUSED: 2}
    assert runs.most_at_a_time == 1
    assert runs.runs == 3


def test_those_who_wait_with_the_same_password_share_one_run(passwords: Passwords, runs: Bcrypt) -> None:
    runs.held.clear()
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(judge, passwords, "prometheus", "right") for _ in range(2)]
        time.sleep(0.1)
        runs.held.set()
        assert [answer.result() for answer in both] == [Verdict.ACCEPTED] * 2
    assert runs.runs == 1


def test_long_passwords_are_cut_as_htpasswd_and_go_cut_them(passwords: Passwords) -> None:
    long = "x" * 100
    users = {"prometheus": hashed(long[:72]).encode()}
    assert passwords.judge(users, "prometheus", long.encode(), "10.0.0.1") is Verdict.ACCEPTED
    assert passwords.judge(users, "prometheus", long[:71].encode(), "10.0.0.1") is Verdict.REFUSED


@pytest.mark.parametrize("edition", ["$2a$", "$2b$", "$2y$"])
def test_every_edition_of_bcrypt_is_read(passwords: Passwords, edition: str) -> None:
    users = {"prometheus": hashed("right").replace("$2b$", edition).encode()}
    assert passwords.judge(users, "prometheus", b"right", "10.0.0.1") is Verdict.ACCEPTED


@pytest.mark.parametrize("password", [b"\x00", b"a\x00b", b"\xff\xfe", b""])
def test_no_password_is_an_error(passwords: Passwords, password: bytes) -> None:
    assert passwords.judge(USERS, "prometheus", password, "10.0.0.1") is Verdict.REFUSED


def basic(text: str | bytes) -> str:
    return "Basic " + base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (basic("a:b"), ("a", b"b")),
        (basic("a:b").replace("Basic", "bAsIc"), ("a", b"b")),
        (basic("a:b:c"), ("a", b"b:c")),
        (basic(":"), ("", b"")),
        (basic("ä:ö"), ("ä", "ö".encode())),
        (basic(b"a:\xff\x00"), ("a", b"\xff\x00")),
        (basic(b"\xff:b"), None),
        (basic("a"), None),
        ("Basic", None),
        ("Basic a:b", None),
        ("Basic ====", None),
        ("Bearer YTpi", None),
        ("", None),
    ],
)
def test_credentials_are_read_as_rfc_7617_has_them(header: str, expected: object) -> None:
    assert credentials(header) == expected


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "web.yml"
    path.write_text(f"basic_auth_users:\n  prometheus: {hashed('right')}\n")
    return path


def test_everything_but_the_probes_wants_a_password(config: Path) -> None:
    with serving_securely(config) as server, closing(Client(server.bound[0])) as client:
        for path in ("/", "/metrics", "/nowhere", "/api/v1/now", "/-/healthy/", "//-/healthy", "/-/Healthy"):
            response, body = client.ask(path)
            assert response.status == 401
            assert response.headers["WWW-Authenticate"].startswith("Basic ")
            assert b"watts" not in body
        for path in ("/-/healthy", "/-/ready", "/-/%68ealthy"):
            assert client.ask(path)[0].status == 200
        assert client.ask("/metrics", "HEAD")[0].status == 401
        assert client.ask("/metrics", Authorization=basic("prometheus:wrong"))[0].status == 401
        assert client.ask("/metrics", Authorization="Basic !")[0].status == 401


def test_the_right_password_opens_it(config: Path) -> None:
    with serving_securely(config) as server, closing(Client(server.bound[0])) as client:
        assert client.ask("/metrics", Authorization=basic("prometheus:right"))[0].status == 200


def test_users_are_reread_and_a_file_without_them_is_refused(
    config: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def ask(user: str, password: str) -> int:
        return client.ask("/metrics", Authorization=basic(f"{user}:{password}"))[0].status

    with serving_securely(config) as server, closing(Client(server.bound[0])) as client:
        assert ask("prometheus", "right") == 200
        config.write_text(f"basic_auth_users:\n  second: {hashed('other')}\n")
        _until(lambda: ask("second", "other") == 200)
        assert ask("prometheus", "right") == 401
        config.write_text("")
        _until(lambda: "basic_auth_users is gone" in caplog.text)
        assert client.ask("/metrics")[0].status == 401
        config.unlink()
        _until(lambda: "cannot be read" in caplog.text)
        assert ask("second", "other") == 200
        config.write_text(f"basic_auth_users:\n  third: {hashed('another')}\n")
        _until(lambda: ask("third", "another") == 200)


def test_a_flood_of_wrong_passwords_does_not_stop_a_scrape(tmp_path: Path) -> None:
    """With the cost that htpasswd's users choose; a scrape that waited for each would take seconds."""
    config = tmp_path / "web.yml"
    config.write_text(f"basic_auth_users:\n  prometheus: {hashed('right', cost=10)}\n")
    stop = threading.Event()

    def flood(number: int) -> Counter[int]:
        found: Counter[int] = Counter()
        with closing(Client(server.bound[0])) as client:
            while not stop.is_set():
                wrong = basic(f"prometheus:{number}-{found.total()}")
                found[client.ask("/metrics", Authorization=wrong)[0].status] += 1
        return found

    with (
        serving_securely(config, Tick()) as server,
        closing(Client(server.bound[0])) as client,
        ThreadPoolExecutor(8) as pool,
    ):
        client.ask("/metrics", Authorization=basic("prometheus:right"))
        floods = [pool.submit(flood, number) for number in range(8)]
        slowest = 0.0
        with ended_by(stop):
            for _ in range(20):
                start = time.monotonic()
                assert client.ask("/metrics", Authorization=basic("prometheus:right"))[0].status == 200
                slowest = max(slowest, time.monotonic() - start)
                time.sleep(0.05)
        found = sum((each.result() for each in floods), Counter())
    assert slowest < 1.0
    assert set(found) <= {401, 429}
    assert found[429] > found[401]


def _until(holds: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.05)


def test_whoever_was_wrong_least_often_is_looked_at_first(runs: Bcrypt) -> None:
    passwords = Passwords(runs, Clock())
    for number in range(40):
        judge(passwords, "prometheus", f"wrong-{number}", client=f"10.0.1.{number}")
    order: list[str] = []
    runs.held.clear()
    for client in (*(f"10.0.1.{number}" for number in range(40)), "10.0.0.2"):
        asked = passwords.ask(USERS, "second", client.encode(), client)
        asked.add_done_callback(lambda _, client=client: order.append(client))
    runs.held.set()
    _until(lambda: len(order) == 41)
    assert order.index("10.0.0.2") <= 1  # one was being looked at


def test_a_crowd_that_came_first_is_not_in_front_of_whoever_comes(passwords: Passwords, runs: Bcrypt) -> None:
    runs.held.clear()
    crowd = [passwords.ask(USERS, "second", b"%d" % number, f"10.0.1.{number}") for number in range(48)]
    newcomer = passwords.ask(USERS, "prometheus", b"right", "10.0.0.2")
    before: list[int] = []
    newcomer.add_done_callback(lambda _: before.append(sum(each.done() for each in crowd)))
    runs.held.set()
    assert newcomer.result() is Verdict.ACCEPTED
    _until(lambda: before == [1])


def test_a_place_among_those_who_wait_is_given_up_for_somebody_new(runs: Bcrypt) -> None:
    passwords = Passwords(runs, Clock())
    for number in range(70):
        judge(passwords, "prometheus", f"wrong-{number}", client=f"10.0.1.{number}")
    runs.held.clear()
    guesses = [passwords.ask(USERS, "second", b"%d" % number, f"10.0.1.{number}") for number in range(70)]
    newcomer = passwords.ask(USERS, "prometheus", b"right", "10.0.0.2")
    runs.held.set()
    assert newcomer.result() is Verdict.ACCEPTED
    assert {guess.result() for guess in guesses} == {Verdict.BUSY, Verdict.REFUSED}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:10.0.0.1", "::ffff:10.0.0.2", False),
        ("10.0.0.1", "10.0.0.2", False),
        ("fe80::1%eth0", "fe80::2", True),
    ],
)
def test_who_has_one_address_of_ipv6_has_them_all(one: str, other: str, same: bool) -> None:
    assert (neighbourhood(one) == neighbourhood(other)) is same


def test_a_right_password_gets_in_while_forty_eight_addresses_guess(tmp_path: Path) -> None:
    """With the cost that htpasswd's users choose. Each of loopback's addresses is another client."""
    config = tmp_path / "web.yml"
    config.write_text(f"basic_auth_users:\n  prometheus: {hashed('right', cost=10)}\n")
    stop = threading.Event()

    def guess(number: int) -> int:
        tried = 0
        while not stop.is_set():
            wrong = basic(f"prometheus:{number}-{tried}")
            tried += 1
            ask_from(f"127.0.1.{number + 1}", server.address, wrong)
        return tried

    with server_process("--config", str(config)) as server, ThreadPoolExecutor(48) as pool:
        floods = [pool.submit(guess, number) for number in range(48)]
        with ended_by(stop):
            time.sleep(1.0)
            began, status = time.monotonic(), 0
            while status != 200 and time.monotonic() < began + 20.0:
                status = ask_from("127.0.2.1", server.address, basic("prometheus:right"))
            seconds = time.monotonic() - began
        assert sum(each.result() for each in floods) > 48
    assert status == 200
    assert seconds < 3.0


def ask_from(source: str, address: str, authorization: str) -> int:
    connection = http.client.HTTPConnection(*parse_address(address), timeout=20, source_address=(source, 0))
    with closing(connection):
        connection.request("GET", "/metrics", headers={"Authorization": authorization})
        return connection.getresponse().status

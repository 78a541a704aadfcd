"""A provider over a real socket: what it answers, and everything that goes wrong with it."""

from __future__ import annotations

import base64
import logging
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from exporter.errors import GridError
from exporter.tariffs.feed import GridFeed
from exporter.tariffs.http import MAX_BYTES, GridClient
from exporter.tariffs.intensity import Constant, Intensity, KnownIntensity
from exporter.tariffs.providers import TOKEN_SECONDS, ElectricityMaps, Provider, Reading, WattTime
from tests.exporter.tariffs.grid_server import Answer, Asked, GridServer, serving

SECRET = "s3cr3t-t0ken"
TABLE = KnownIntensity(Constant(473.05), "WORLD", "table")
IN_TABLE = Intensity(473.05, "WORLD", "table")


@pytest.fixture
def server() -> Iterator[GridServer]:
    with serving() as grid:
        yield grid


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(f"{SECRET}\n")
    return path


class Clocks:
    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now

    def unix(self) -> float:
        return self.now + 1_700_000_000.0


def maps(server: GridServer, token_file: Path | None = None) -> ElectricityMaps:
    return ElectricityMaps("DE", server.url, token_file, GridClient(0.3, 1.0))


def feed(provider: Provider, clocks: Clocks | None = None) -> GridFeed:
    clocks = clocks or Clocks()
    return GridFeed(provider, TABLE, 300.0, clocks.monotonic, clocks.unix)


def latest(intensity: Any, zone: str = "DE") -> dict[str, Any]:
    """As the provider's own answer looks: aioelectricitymaps, tests/fixtures/latest_carbon_intensity.json."""
    return {
        "zone": zone,
        "carbonIntensity": intensity,
        "datetime": "2024-03-06T19:00:00.000Z",
        "updatedAt": "2024-03-06T18:48:27.926Z",
        "emissionFactorType": "lifecycle",
        "isEstimated": True,
    }


def forecast(*points: tuple[str, Any], region: str = "CAISO_NORTH", units: str = "lbs_co2_per_mwh") -> Any:
    meta = {"region": region, "signal_type": "co2_moer", "units": units}
    return {"meta": meta, "data": [{"point_time": at, "value": value} for at, value in points]}


def test_electricity_maps_is_asked_with_zone_and_token(server: GridServer, token_file: Path) -> None:
    server.says(latest(216))
    reading = maps(server, token_file).fetch()
    assert reading == Reading(216.0, datetime(2024, 3, 6, 19, tzinfo=UTC).timestamp())
    (asked,) = server.asked
    assert asked.path == "/v3/carbon-intensity/latest?zone=DE"
    assert asked.headers["auth-token"] == SECRET


def test_the_token_is_read_anew(server: GridServer, token_file: Path) -> None:
    server.says(latest(216))
    provider = maps(server, token_file)
    provider.fetch()
    token_file.write_text("another")
    provider.fetch()
    assert [asked.headers["auth-token"] for asked in server.asked] == [SECRET, "another"]


def test_without_a_token_file_none_is_sent(server: GridServer) -> None:
    server.says(latest(216))
    maps(server).fetch()
    assert "auth-token" not in server.asked[0].headers


def test_watttime_logs_in_once_and_its_pounds_become_grams(server: GridServer, token_file: Path) -> None:
    token_file.write_text("me:pass:word")
    now = datetime.now(UTC)
    points = [
        (now - timedelta(minutes=5), 2000),
        (now - timedelta(minutes=1), 1000),
        (now + timedelta(1), 3000),
    ]
    answer = forecast(*[(at.isoformat(), value) for at, value in points])
    server.answer = lambda asked: Answer({"token": "jwt"} if asked.path == "/login" else answer)
    provider = WattTime("CAISO_NORTH", server.url, token_file, GridClient())
    for _ in range(2):
        reading = provider.fetch()
        assert reading.grams_per_kwh == pytest.approx(453.59237)
        assert reading.unix_seconds == points[1][0].timestamp()
    login, *forecasts = server.asked
    assert login.path == "/login"
    assert base64.b64decode(login.headers["authorization"].removeprefix("Basic ")) == b"me:pass:word"
    wanted = "/v3/forecast?region=CAISO_NORTH&signal_type=co2_moer&horizon_hours=0"
    assert [asked.path for asked in forecasts] == [wanted, wanted]
    assert {asked.headers["authorization"] for asked in forecasts} == {"Bearer jwt"}


def test_watttime_logs_in_again_when_its_token_ends_and_when_it_is_refused(
    server: GridServer, token_file: Path
) -> None:
    token_file.write_text("me:password")
    clocks, tokens = Clocks(), iter("abcd")
    valid: list[str] = []

    def answer(asked: Asked) -> Answer:
        if asked.path == "/login":
            valid[:] = [next(tokens)]
            return Answer({"token": valid[0]})
        if asked.headers["authorization"] != f"Bearer {valid[0]}":
            return Answer({}, 401)
        return Answer(forecast(("2024-03-06T19:00:00+00:00", 500)))

    server.answer = answer
    provider = WattTime("CAISO_NORTH", server.url, token_file, GridClient(), clocks.monotonic)
    provider.fetch()
    clocks.now += TOKEN_SECONDS
    provider.fetch()
    assert valid == ["b"]
    valid[:] = ["revoked"]
    provider.fetch()
    assert valid == ["c"]


def test_watttime_takes_a_token_that_somebody_else_keeps_fresh(server: GridServer, token_file: Path) -> None:
    server.says(forecast(("2024-03-06T19:00:00+00:00", 500)))
    WattTime("CAISO_NORTH", server.url, token_file, GridClient()).fetch()
    assert [asked.headers["authorization"] for asked in server.asked] == [f"Bearer {SECRET}"]


GOOD_POINT = ("2024-03-06T19:00:00+00:00", 500)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (forecast(), "malformed"),
        (forecast(GOOD_POINT, region="PJM"), "malformed"),
        (forecast(GOOD_POINT, units="percentile"), "malformed"),
        ({"data": [{"point_time": GOOD_POINT[0], "value": 500}]}, "malformed"),
        (forecast(("yesterday", 500)), "malformed"),
        (forecast((GOOD_POINT[0], None)), "malformed"),
        (forecast((GOOD_POINT[0], -1)), "out_of_range"),
        (forecast((GOOD_POINT[0], 12_000)), "out_of_range"),
    ],
)
def test_what_watttime_should_not_say_is_refused(server: GridServer, answer: Any, reason: str) -> None:
    server.says(answer)
    with pytest.raises(GridError) as raised:
        WattTime("CAISO_NORTH", server.url, None, GridClient()).fetch()
    assert raised.value.reason == reason


NONSENSE = {
    "negative": (latest(-1), "out_of_range"),
    "absurd": (latest(5_001), "out_of_range"),
    "NaN": (b'{"zone": "DE", "carbonIntensity": NaN, "datetime": null}', "out_of_range"),
    "infinite": (b'{"zone": "DE", "carbonIntensity": 1e999}', "out_of_range"),
    "beyond a float": (b'{"zone": "DE", "carbonIntensity": 1' + b"0" * 400 + b"}", "out_of_range"),
    "true": (latest(True), "malformed"),
    "a text": (latest("216"), "malformed"),
    "null": (latest(None), "malformed"),
    "another place": (latest(216, "FR"), "malformed"),
    "no time": ({**latest(216), "datetime": "soon"}, "malformed"),
    "a time without an offset": ({**latest(216), "datetime": "2024-03-06T19:00:00"}, "malformed"),
    "a list": ([], "malformed"),
    "HTML": (b"<html>maintenance</html>", "malformed"),
    "not UTF-8": (b"\xff\xfe\x00", "malformed"),
    "nothing": (b"", "malformed"),
    "nested too deep": (b"[" * 200_000, "malformed"),
    "too long": (b" " * (MAX_BYTES + 1), "malformed"),
}


@pytest.mark.parametrize("what", NONSENSE)
def test_nonsense_is_refused_and_the_last_good_value_stays(server: GridServer, what: str) -> None:
    body, reason = NONSENSE[what]
    grid = feed(maps(server))
    server.says(latest(216))
    grid.ask()
    server.says(body)
    grid.ask()
    assert grid.now() == Intensity(216.0, "DE", "electricitymaps")
    assert grid.mean(0.0) == 216.0
    assert {name: n for name, n in grid.status().errors.items() if n} == {reason: 1}


@pytest.mark.parametrize(
    ("status", "reason"),
    [(401, "unauthorized"), (403, "unauthorized"), (404, "status"), (429, "rate_limited"), (503, "status")],
)
def test_a_refusal_is_counted_by_what_it_is(server: GridServer, status: int, reason: str) -> None:
    server.says({"error": "no"}, status)
    grid = feed(maps(server))
    assert grid.ask() == 60.0
    assert grid.status().errors[reason] == 1
    assert grid.now() == IN_TABLE


def test_a_slow_server_is_given_up_and_never_waited_for_by_the_tick(server: GridServer) -> None:
    server.answer = lambda _: Answer(latest(216)) if server.released.wait(10) else Answer({})
    grid = GridFeed(maps(server), TABLE, 300.0).start()
    began = time.monotonic()
    for _ in range(1_000):
        grid.mean(5.0)
        grid.now()
        grid.status()
    assert time.monotonic() - began < 0.3, "the tick waited"
    _eventually(lambda: grid.status().errors["timeout"] == 1)
    grid.close()


def test_an_answer_that_comes_drop_by_drop_has_an_end(server: GridServer) -> None:
    def drip(_: Asked) -> Answer:
        return Answer(raw=b"")

    def handle(request: Any) -> None:
        request.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n")
        while not server.released.wait(0.05):
            request.wfile.write(b" ")

    server.answer, server.handle = drip, handle  # type: ignore[method-assign]
    grid = feed(maps(server))
    began = time.monotonic()
    grid.ask()
    assert 0.9 < time.monotonic() - began < 5.0
    assert grid.status().errors["timeout"] == 1


@pytest.mark.parametrize("raw", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"])
def test_a_broken_connection_is_counted(server: GridServer, raw: bytes) -> None:
    server.answer = lambda _: Answer(raw=raw)
    grid = feed(maps(server))
    grid.ask()
    assert sum(grid.status().errors.values()) == 1
    assert grid.now() == IN_TABLE


def test_a_server_that_is_down_is_counted() -> None:
    with serving() as gone:
        provider = maps(gone)
    grid = feed(provider)
    grid.ask()
    assert grid.status().errors["unreachable"] == 1


def test_a_redirect_to_another_host_is_refused_and_takes_no_token_there(
    server: GridServer, token_file: Path
) -> None:
    with serving() as other:
        server.says({}, 302, Location=f"{other.url}/v3/carbon-intensity/latest?zone=DE")
        other.says(latest(1))
        grid = feed(maps(server, token_file))
        grid.ask()
        assert other.asked == []
    assert grid.status().errors["redirect"] == 1


def test_a_redirect_on_the_same_host_is_followed(server: GridServer) -> None:
    moved = Answer({}, 302, {"Location": "/moved"})
    server.answer = lambda asked: Answer(latest(216)) if asked.path == "/moved" else moved
    assert maps(server).fetch().grams_per_kwh == 216.0


def test_redirects_in_a_circle_end(server: GridServer) -> None:
    server.says({}, 302, Location="/v3/carbon-intensity/latest")
    grid = feed(maps(server))
    grid.ask()
    assert grid.status().errors["redirect"] == 1
    assert len(server.asked) < 20


def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed(tmp_path))
    with serving(context) as server:
        server.says(latest(216))
        grid = feed(maps(server))
        grid.ask()
        assert server.asked == []
    assert grid.status().errors["tls"] == 1


def test_a_certificate_of_ones_own_ca_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = self_signed(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with serving(context) as server:
        server.says(latest(216))
        assert maps(server).fetch().grams_per_kwh == 216.0


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"two words", b"two\nlines", b"\xff\xfe", "schlüssel".encode()]
)
def test_a_file_that_holds_no_token_is_told_without_showing_it(
    server: GridServer, token_file: Path, content: bytes
) -> None:
    token_file.write_bytes(content)
    with pytest.raises(GridError, match=str(token_file)) as raised:
        maps(server, token_file).fetch()
    assert raised.value.reason == "token"
    assert not content.strip() or content.decode(errors="replace") not in str(raised.value)
    assert server.asked == []


def test_a_missing_token_file_is_an_error_that_ends_when_it_is_there(
    server: GridServer, tmp_path: Path
) -> None:
    server.says(latest(216))
    grid = feed(maps(server, tmp_path / "later"))
    grid.ask()
    assert grid.status().errors["token"] == 1
    (tmp_path / "later").write_text(SECRET)
    grid.ask()
    assert grid.now().grams_per_kwh == 216.0


def test_no_secret_is_logged_or_told(
    server: GridServer, token_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    token_file.write_text(f"me:{SECRET}")
    basic = base64.b64encode(f"me:{SECRET}".encode()).decode()
    for status in (401, 429, 500, 302):
        server.says({"echo": SECRET}, status, Location="http://elsewhere.invalid/")
        for provider in (maps(server, token_file), WattTime("X", server.url, token_file, GridClient(0.3))):
            feed(provider).ask()
    assert "answered 401" in caplog.text
    assert SECRET not in caplog.text
    assert basic not in caplog.text


def test_after_a_failure_it_waits_a_minute_and_longer_each_time_and_what_it_is_told_to(
    server: GridServer,
) -> None:
    grid = feed(maps(server))
    server.says({}, 500)
    assert [grid.ask() for _ in range(5)] == [60.0, 120.0, 240.0, 300.0, 300.0]
    server.says({}, 429, Retry_After="1800")
    assert grid.ask() == 1_800.0
    server.says({}, 429, Retry_After=format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True))
    assert grid.ask() == pytest.approx(3_600.0, abs=5.0)
    for nonsense in ("soon", "-5", "1e9", "9" * 400):
        server.says({}, 429, Retry_After=nonsense)
        assert 300.0 <= grid.ask() <= 86_400.0
    server.says(latest(216))
    assert grid.ask() == 300.0
    server.says({}, 500)
    assert grid.ask() == 60.0


def test_the_age_is_that_of_the_value_and_grows_while_the_provider_is_down(server: GridServer) -> None:
    clocks = Clocks()
    grid = feed(maps(server), clocks)
    clocks.now += 30.0
    assert grid.status().age_seconds == 30.0
    hour_ago = datetime.fromtimestamp(clocks.unix() - 3_600.0, UTC).isoformat()
    server.says({**latest(216), "datetime": hour_ago})
    grid.ask()
    assert grid.status().age_seconds == pytest.approx(3_600.0)
    server.says({}, 500)
    clocks.now += 600.0
    grid.ask()
    assert grid.status().age_seconds == pytest.approx(4_200.0)
    server.says({**latest(216), "datetime": "2199-01-01T00:00:00Z"})
    grid.ask()
    assert grid.status().age_seconds == 0.0


def test_until_the_first_good_value_the_tables_counts_under_its_own_name(server: GridServer) -> None:
    grid = feed(maps(server))
    assert (grid.now(), grid.mean(5.0)) == (IN_TABLE, 473.05)
    server.says({}, 500)
    grid.ask()
    assert grid.now() == IN_TABLE
    server.says(latest(216))
    grid.ask()
    assert grid.now() == Intensity(216.0, "DE", "electricitymaps")


def test_the_mean_over_a_tick_weighs_each_value_by_its_time(server: GridServer) -> None:
    clocks = Clocks()
    grid = feed(maps(server), clocks)
    for seconds, value in ((10.0, 100), (10.0, 200), (0.0, 200)):
        clocks.now += seconds
        server.says(latest(value))
        grid.ask()
    clocks.now += 5.0
    assert grid.mean(5.0) == 200.0
    assert grid.mean(10.0) == pytest.approx(150.0)
    assert grid.mean(15.0) == pytest.approx((10 * 100 + 5 * 200) / 15)
    assert grid.mean(25.0) == pytest.approx((10 * 473.05 + 10 * 100 + 5 * 200) / 25)
    assert grid.mean(0.0) == 200.0


def test_a_history_of_a_thousand_values_stays_small(server: GridServer) -> None:
    clocks = Clocks()
    grid = feed(Rising(), clocks)
    for _ in range(1_000):
        clocks.now += 60.0
        grid.ask()
    assert len(grid._state.steps) <= 64
    assert grid.mean(60.0) == 999.0
    assert grid.mean(180.0) == pytest.approx(998.0)


class Rising:
    name, zone = "electricitymaps", "DE"

    def __init__(self) -> None:
        self.value = 0.0

    def fetch(self) -> Reading:
        self.value += 1.0
        return Reading(self.value, None)


class Broken:
    name, zone = "electricitymaps", "DE"

    def fetch(self) -> Reading:
        raise RuntimeError(SECRET)


def test_what_nobody_thought_of_does_not_end_the_asking(caplog: pytest.LogCaptureFixture) -> None:
    grid = feed(Broken())
    assert grid.ask() == 60.0
    assert grid.status().errors["internal"] == 1
    assert SECRET not in "".join(record.getMessage() for record in caplog.records)


def test_trouble_is_logged_once_and_its_end_too(server: GridServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    grid = feed(maps(server))
    for status in (500, 500, 429, 429):
        server.says({}, status)
        grid.ask()
    server.says(latest(216))
    grid.ask()
    grid.ask()
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING", "INFO"]


def self_signed(folder: Path) -> Path:
    """A certificate for 127.0.0.1 and its key, in one file."""
    import ipaddress

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "grid")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "certificate.pem"
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(private + certificate.public_bytes(pem))
    return path


def _eventually(true: Any, seconds: float = 5.0) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "it never came true"
        time.sleep(0.01)

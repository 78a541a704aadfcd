"""What each provider of carbon intensity is asked, and how its answer is read."""

from __future__ import annotations

import base64
import hashlib
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol
from urllib.parse import urlencode

from exporter.configuration.tariff_options import MAX_GRAMS_PER_KWH
from exporter.errors import GridError
from exporter.tariffs.http import GridClient
from exporter.tariffs.token import is_sendable, read_token

# The international avoirdupois pound is 0.45359237 kg: lb/MWh is 453.59237 g per 1,000 kWh.
GRAMS_PER_KWH_OF_POUNDS_PER_MWH = 0.453_592_37
TOKEN_SECONDS = 25 * 60.0  # WattTime's tokens hold for 30 minutes


@dataclass(frozen=True, slots=True)
class Reading:
    """A good value; unix_seconds: what it holds from, None where the provider does not say."""

    grams_per_kwh: float
    unix_seconds: float | None


class Provider(Protocol):
    """Asks once; may wait for the network."""

    name: str
    zone: str

    def fetch(self) -> Reading:
        """The intensity now. Raises GridError."""


class ElectricityMaps:
    """Electricity Maps, API v3: the life-cycle average of what is consumed in the zone.

    GET /v3/carbon-intensity/latest?zone=DE with the header auth-token answers {"zone": "DE",
    "carbonIntensity": 302, "datetime": "2024-03-06T19:00:00.000Z", ...}, in gCO2eq/kWh. Where it does not
    know a zone it may answer for the place of the caller, so that the zone is looked at. Source:
    https://app.electricitymaps.com/developer-hub/api/reference
    """

    name = "electricitymaps"
    url = "https://api.electricitymaps.com"

    def __init__(self, zone: str, url: str | None, token_file: Path | None, client: GridClient) -> None:
        self.zone = zone
        self._url = (url or self.url).rstrip("/")
        self._token_file = token_file
        self._client = client

    def fetch(self) -> Reading:
        """See Provider."""
        token = read_token(self._token_file)
        headers = {"auth-token": token} if token else {}
        query = urlencode({"zone": self.zone})
        answer = _mapping(self._client.get_json(f"{self._url}/v3/carbon-intensity/latest?{query}", headers))
        _check(answer, "zone", self.zone)
        return Reading(_grams(answer.get("carbonIntensity")), _time(answer.get("datetime")))


class WattTime:
    """WattTime, API v3: the marginal operating emissions rate, co2_moer.

    GET /login with basic authentication answers {"token": ...}, which holds for 30 minutes; GET
    /v3/forecast?region=CAISO_NORTH&signal_type=co2_moer&horizon_hours=0 with it answers {"meta": {"region",
    "signal_type", "units": "lbs_co2_per_mwh", ...}, "data": [{"point_time", "value"}, ...]}. Source:
    https://docs.watttime.org and https://github.com/WattTime/watttime-python-client. The token file holds
    user:password, or a token that somebody else keeps fresh.
    """

    name = "watttime"
    url = "https://api.watttime.org"

    def __init__(
        self,
        zone: str,
        url: str | None,
        token_file: Path | None,
        client: GridClient,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.zone = zone
        self._url = (url or self.url).rstrip("/")
        self._token_file = token_file
        self._client = client
        self._clock = clock
        self._session = ("", "", 0.0)  # of which credentials, the token, until when

    def fetch(self) -> Reading:
        """See Provider."""
        credentials = read_token(self._token_file)
        try:
            answer = self._ask(self._token(credentials))
        except GridError as error:
            if error.reason != "unauthorized" or ":" not in credentials:
                raise
            self._session = ("", "", 0.0)  # the token ended before its time
            answer = self._ask(self._token(credentials))
        return _latest(answer, self.zone)

    def _ask(self, token: str) -> Mapping[str, object]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        query = urlencode({"region": self.zone, "signal_type": "co2_moer", "horizon_hours": 0})
        return _mapping(self._client.get_json(f"{self._url}/v3/forecast?{query}", headers))

    def _token(self, credentials: str) -> str:
        if ":" not in credentials:
            return credentials
        whose = hashlib.sha256(credentials.encode()).hexdigest()
        if self._session[0] != whose or self._clock() >= self._session[2]:
            self._session = (whose, self._login(credentials), self._clock() + TOKEN_SECONDS)
        return self._session[1]

    def _login(self, credentials: str) -> str:
        basic = base64.b64encode(credentials.encode()).decode()
        answer = _mapping(self._client.get_json(f"{self._url}/login", {"Authorization": f"Basic {basic}"}))
        token = answer.get("token")
        if not isinstance(token, str) or not is_sendable(token):
            raise GridError("malformed", "login: wanted a token, found none")
        return token


def _latest(answer: Mapping[str, object], zone: str) -> Reading:
    """The last point that is not in the future; the first one where all are."""
    meta, points = _mapping(answer.get("meta")), answer.get("data")
    _check(meta, "region", zone)
    _check(meta, "units", "lbs_co2_per_mwh")
    if not isinstance(points, list) or not points:
        raise GridError("malformed", "data: wanted a list of points, found none")
    timed = sorted((_time(_mapping(point).get("point_time")) or 0.0, i) for i, point in enumerate(points))
    past = [entry for entry in timed if entry[0] <= time.time()]
    at, index = past[-1] if past else timed[0]
    value = _number(_mapping(points[index]).get("value"))
    return Reading(_in_range(value * GRAMS_PER_KWH_OF_POUNDS_PER_MWH), at or None)


def _mapping(found: object) -> Mapping[str, object]:
    if not isinstance(found, dict):
        raise GridError("malformed", f"wanted an object, found {type(found).__name__}")
    return found


def _check(answer: Mapping[str, object], field: str, wanted: str) -> None:
    if answer.get(field) != wanted:
        raise GridError("malformed", f"{field}: wanted {wanted!r}, found {str(answer.get(field))[:80]!r}")


def _grams(found: object) -> float:
    return _in_range(_number(found))


def _number(found: object) -> float:
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise GridError("malformed", f"wanted a number, found {str(found)[:80]!r}")
    try:
        return float(found)
    except OverflowError:
        return math.inf


def _in_range(grams_per_kwh: float) -> float:
    if not 0 <= grams_per_kwh <= MAX_GRAMS_PER_KWH:
        wanted = f"from 0 to {MAX_GRAMS_PER_KWH:g} g/kWh"
        raise GridError("out_of_range", f"intensity: wanted a value {wanted}, found {grams_per_kwh:g}")
    return grams_per_kwh


def _time(found: object) -> float | None:
    """Unix seconds of an ISO 8601 time with an offset; None where there is none."""
    if found is None:
        return None
    try:
        at = datetime.fromisoformat(str(found))
        if at.tzinfo is None:
            raise ValueError
        return at.timestamp()
    except (ValueError, OverflowError):
        raise GridError("malformed", f"wanted a time with an offset, found {str(found)[:80]!r}") from None

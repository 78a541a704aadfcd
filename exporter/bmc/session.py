"""One session with a Redfish service: kept, renewed where it ran out, ended when we go."""

from __future__ import annotations

import base64
import contextlib
import json
import time
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from estimator.errors import MeterUnavailable
from exporter.bmc.nodes_file import Bmc
from exporter.http_client import Limits, RequestFailed, Tls, ask, get, open_manager

if TYPE_CHECKING:
    from urllib3 import PoolManager

_SESSIONS = "/redfish/v1/SessionService/Sessions"
_LIMITS = Limits(connect=5.0, read=20.0, whole=30.0, max_bytes=4 * 1024 * 1024)
_REFUSED = (401, 403)
# A service without sessions answers one of these where they should be; it is asked by HTTP basic then.
_NO_SESSIONS = (404, 405, 501)
# BMCs lock an account after three to five wrong passwords within minutes, some for an hour.
_FIRST_WAIT_SECONDS, _WAIT_FACTOR, _LONGEST_WAIT_SECONDS = 300.0, 4.0, 3_600.0


class RedfishSession:
    """GET of JSON from one BMC. For one thread.

    Whom the BMC refuses is not tried again at once: 5 minutes, 20, then once an hour, so that no account is
    locked. clock: seconds, monotonic.
    """

    def __init__(
        self, bmc: Bmc, limits: Limits = _LIMITS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._bmc, self._limits, self._clock = bmc, limits, clock
        self._manager: PoolManager | None = None
        self._headers: dict[str, str] | None = None
        self._location = ""
        self._refusals, self._not_before = 0, 0.0

    def get(self, path: str) -> Any:
        """The resource; numbers with a point come as Decimal, as they were written.

        Raises MeterUnavailable, which names the BMC, what failed and the mend, and no secret. NotThere where
        the BMC has no such resource.
        """
        try:
            return _json(self._get(path), path)
        except RequestFailed as failed:
            if failed.status == 404:
                raise NotThere(f"{self._where(path)}: {failed}") from None
            raise MeterUnavailable(f"{self._where(path)}: {failed}{_mend(failed)}") from None
        except ValueError as error:
            raise MeterUnavailable(f"{self._where(path)}: {error}") from None

    def close(self) -> None:
        """End the session with the BMC, which has few of them."""
        if self._location and self._manager is not None and self._headers:
            quick = Limits(connect=1.0, read=2.0, whole=2.0)
            with contextlib.suppress(RequestFailed):
                ask(self._manager, "DELETE", self._location, self._headers, quick)
        self._forget()
        if self._manager is not None:
            self._manager.clear()
            self._manager = None

    def _get(self, path: str) -> bytes:
        was_open = bool(self._location)
        try:
            return self._asked(path)
        except RequestFailed as failed:
            if failed.status != 401 or not self._headers:
                raise
        if was_open:  # the session ran out, or the BMC was restarted
            self._forget()
            with contextlib.suppress(Unauthorized):
                return self._asked(path, fresh=True)
        self.close()  # asked on, it would be a session more each time, or a wrong password
        self._wait_longer()
        raise MeterUnavailable(self._refused())

    def _asked(self, path: str, *, fresh: bool = False) -> bytes:
        try:
            return get(self._opened(), self._url(path), self._logged_in(), self._limits)
        except RequestFailed as failed:
            if fresh and failed.status == 401:
                raise Unauthorized from None
            raise

    def _opened(self) -> PoolManager:
        if self._manager is None:
            self._manager = open_manager(self._bmc.endpoint, self._tls())
        return self._manager

    def _tls(self) -> Tls | None:
        is_tls = self._bmc.endpoint.startswith("https:")
        return Tls(self._bmc.ca_file, verify=self._bmc.verify) if is_tls else None

    def _logged_in(self) -> Mapping[str, str]:
        if self._headers is not None:
            return self._headers
        if not self._bmc.user:
            self._headers = {}
            return self._headers
        if self._clock() < self._not_before:
            raise MeterUnavailable(self._refused())
        try:
            self._log_in()
        except RequestFailed as failed:
            if failed.status not in _REFUSED:
                raise
            self._wait_longer()
            raise MeterUnavailable(self._refused()) from None
        self._refusals = 0
        return self._headers or {}

    def _log_in(self) -> None:
        body = json.dumps({"UserName": self._bmc.user, "Password": self._bmc.password}).encode()
        headers = {"Content-Type": "application/json", "OData-Version": "4.0"}
        try:
            answer = ask(self._opened(), "POST", self._url(_SESSIONS), headers, self._limits, body)
        except RequestFailed as failed:
            if failed.status not in _NO_SESSIONS:
                raise
            self._log_in_each_time()
            return
        token = answer.headers.get("X-Auth-Token", "")
        if not token:
            raise RequestFailed("status", "opened a session without an X-Auth-Token")
        self._headers = {"X-Auth-Token": token}
        self._location = self._session_url(answer.headers.get("Location", ""), answer.body)

    def _log_in_each_time(self) -> None:
        """By HTTP basic; tried here once, so that a wrong password is told as one."""
        pair = f"{self._bmc.user}:{self._bmc.password}".encode()
        headers = {"Authorization": "Basic " + base64.b64encode(pair).decode()}
        get(self._opened(), self._url("/redfish/v1/Chassis"), headers, self._limits)
        self._headers = headers

    def _session_url(self, location: str, body: bytes) -> str:
        """Where the session can be ended; only ever on the same host, since the token goes there."""
        if not location:
            with contextlib.suppress(ValueError, AttributeError):
                location = str(json.loads(body).get("@odata.id") or "")
        return self._url(urlsplit(location).path) if location else ""

    def _wait_longer(self) -> None:
        wait = min(_LONGEST_WAIT_SECONDS, _FIRST_WAIT_SECONDS * _WAIT_FACTOR**self._refusals)
        self._refusals += 1
        self._not_before = self._clock() + wait

    def _refused(self) -> str:
        return (
            f"{self._bmc.endpoint} refuses the user and the password of bmcs.{self._bmc.id}: correct them in"
            " platform.redfish.configFile; till then it is asked seldom, so that the account is not locked"
        )

    def _forget(self) -> None:
        self._headers, self._location = None, ""

    def _url(self, path: str) -> str:
        return urljoin(self._bmc.endpoint, path)

    def _where(self, path: str) -> str:
        return f"{self._bmc.endpoint}{path}"


class Unauthorized(Exception):
    """A session that was only just opened is not taken."""


class NotThere(MeterUnavailable):
    """The BMC has no such resource."""


def _json(body: bytes, path: str) -> dict[str, Any]:
    try:
        found = json.loads(body, parse_float=Decimal)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ValueError(f"wanted a JSON object at {path}, found {body[:40]!r}")
    return found


def _mend(failed: RequestFailed) -> str:
    return {
        "tls": "; name its CA as caFile in platform.redfish.configFile, or set insecure there",
        "unreachable": "; look at its endpoint in platform.redfish.configFile and the way to it",
        "timeout": "; it answers too slowly, or the way to it is shut",
    }.get(failed.kind, "")

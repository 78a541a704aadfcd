"""One request to a provider of grid data: JSON comes back, or an error with a reason that can be counted."""

from __future__ import annotations

import json
from collections.abc import Mapping

from exporter.errors import GridError
from exporter.http_client import Limits, RequestFailed, get, open_manager, retry_after_seconds

TIMEOUT_SECONDS = 10.0  # for each step of a request
DEADLINE_SECONDS = 30.0  # for the whole of an answer that comes drop by drop
MAX_BYTES = 1024 * 1024
MAX_RETRY_AFTER_SECONDS = 86_400.0

REASONS = (
    *("token", "timeout", "unreachable", "tls", "redirect"),
    *("unauthorized", "rate_limited", "status", "malformed", "out_of_range", "internal"),
)
_OF_STATUS = {401: "unauthorized", 403: "unauthorized", 429: "rate_limited"}
_OF_KIND = {"cut": "unreachable", "unusable": "unreachable", "size": "malformed"}
_MENDS = {
    "unauthorized": "; look at carbon.tokenFile and what the token may see",
    "redirect": "; set carbon.url to where it leads",
    "tls": "; SSL_CERT_FILE names another CA",
}


class GridClient:
    """GET requests with verified TLS and short timeouts, each on a connection of its own: they are rare."""

    def __init__(self, timeout_seconds: float = TIMEOUT_SECONDS, deadline_seconds: float = DEADLINE_SECONDS):
        self._limits = Limits(timeout_seconds, timeout_seconds, deadline_seconds, MAX_BYTES)

    def get_json(self, url: str, headers: Mapping[str, str]) -> object:
        """What the address answers, parsed. Raises GridError."""
        shown = url.partition("?")[0]
        try:
            with open_manager(url) as manager:
                body = get(manager, url, headers, self._limits)
        except RequestFailed as failed:
            raise _of(failed, shown) from None
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            raise GridError("malformed", f"{shown}: wanted JSON, found {body[:40]!r}") from None


def _of(failed: RequestFailed, shown: str) -> GridError:
    reason = _OF_STATUS.get(failed.status) or _OF_KIND.get(failed.kind, failed.kind)
    retry_after = retry_after_seconds(failed.retry_after, MAX_RETRY_AFTER_SECONDS)
    return GridError(reason, f"{shown}: {failed}{_MENDS.get(reason, '')}", retry_after)

"""What can go wrong between podjoule and Kubernetes, in a fixed vocabulary."""

from __future__ import annotations

from collections.abc import Mapping

from exporter.http_client import RequestFailed, retry_after_seconds

# The values of the label `reason`; all of them are exported from the start.
REASONS = (
    "unauthorized",  # 401: the token has expired or is not one of this cluster's
    "forbidden",  # 403: the role does not allow it
    "gone",  # 410: the resource version is too old, everything is listed anew
    "throttled",  # 429
    "server",  # 5xx
    "refused",  # any other answer but 200: a redirect, a 404
    "tls",  # the certificate cannot be verified, or there is no TLS
    "timeout",  # no answer, or none any more
    "connection",  # refused, reset, cut, no such host
    "malformed",  # an answer that cannot be understood
    "credentials",  # a token or kubeconfig that cannot be used
    "internal",  # our own mistake
)

_OF_STATUS = {401: "unauthorized", 403: "forbidden", 410: "gone", 429: "throttled"}
_OF_KIND = {
    "unreachable": ("connection", "no connection"),
    "cut": ("connection", "the connection was cut"),
    "tls": ("tls", "no TLS with a certificate of the CA that was given"),
    "timeout": ("timeout", "no answer, or none any more"),
    "unusable": ("credentials", "the address or the credentials cannot be used"),
}
_MAX_RETRY_AFTER_SECONDS = 600.0


class Failure(Exception):
    """One exchange with Kubernetes failed.

    reason: one of REASONS. retry_after_seconds: how long the server asked to be left alone.
    """

    def __init__(self, reason: str, message: str, retry_after_seconds: float = 0.0) -> None:
        super().__init__(message)
        self.reason = reason
        self.retry_after_seconds = min(retry_after_seconds, _MAX_RETRY_AFTER_SECONDS)


def of_status(code: int, what: str, retry_after: str = "") -> Failure:
    """The failure that an HTTP status stands for. retry_after: its header."""
    reason = _OF_STATUS.get(code) or ("server" if code >= 500 else "refused")
    seconds = retry_after_seconds(retry_after, _MAX_RETRY_AFTER_SECONDS) if retry_after else 0.0
    return Failure(reason, f"{what} was answered with {code}{_MENDS.get(code, '')}", seconds)


def of_request(failed: RequestFailed) -> Failure:
    """The failure that a request without an answer stands for."""
    reason, what = _OF_KIND[failed.kind]
    return Failure(reason, f"{what}: {failed}")


def of_event(status: Mapping[str, object]) -> Failure:
    """The failure that an ERROR event of a watch tells of; status: its object, a v1.Status."""
    code, details = status.get("code"), status.get("details")
    seconds = details.get("retryAfterSeconds") if isinstance(details, dict) else None
    retry_after = str(seconds) if isinstance(seconds, int) and seconds > 0 else ""
    return of_status(code if isinstance(code, int) else 500, "the watch", retry_after)


_MENDS = {
    401: ": the token has expired or is not of this cluster",
    403: ": the role of podjoule's account does not allow it; see the ClusterRole in deploy/",
    410: ": the resource version is too old; listing anew",
    429: ": it is throttled",
}

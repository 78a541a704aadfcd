"""How pushes went: what counts as a failure, and how many there were."""

from __future__ import annotations

from dataclasses import dataclass, field

from ebpf.errors import PodjouleError

REASONS = (
    *("headers", "unreachable", "timeout", "tls", "unauthorized", "redirect", "status", "rejected"),
    "internal",
)
_OF_STATUS = {401: "unauthorized", 403: "unauthorized"}


class PushFailed(PodjouleError):
    """A push that the endpoint did not take whole. The message never holds a header.

    reason: one of REASONS.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(slots=True)
class PushCounts:
    """Since the start: pushes that were taken whole, and those that failed by reason."""

    pushed: int = 0
    errors: dict[str, int] = field(default_factory=lambda: dict.fromkeys(REASONS, 0))


def of_status(status: int, reason: str) -> PushFailed | None:
    """What an answer's status means; None where it is one of success."""
    if 200 <= status < 300:
        return None
    if 300 <= status < 400:
        return PushFailed("redirect", f"answered {status} {reason}; set otlp.endpoint to where it leads")
    mend = "; look at otlp.headersFile" if status in _OF_STATUS else ""
    return PushFailed(_OF_STATUS.get(status, "status"), f"answered {status} {reason}{mend}")

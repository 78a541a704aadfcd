"""How pushes went: what counts as a failure, and how many there were."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from ebpf.errors import PodjouleError

REASONS = (
    *("headers", "unreachable", "timeout", "tls", "unauthorized", "redirect", "status", "rejected"),
    "internal",
)
_OF_STATUS = {401: "unauthorized", 403: "unauthorized"}
# What is wrong with one request, whatever becomes of the others: it cannot be read, or is too large.
_OF_ONE_REQUEST = (400, 413, 422)


class PushFailed(PodjouleError):
    """A push that the endpoint did not take whole. The message never holds a header.

    reason: one of REASONS. is_of_request: whether the next request may be taken all the same.
    """

    def __init__(self, reason: str, message: str, *, is_of_request: bool = False) -> None:
        super().__init__(message)
        self.reason = reason
        self.is_of_request = is_of_request


@dataclass(slots=True)
class PushCounts:
    """Since the start: pushes that were taken whole, and those that failed by reason."""

    pushed: int = 0
    errors: dict[str, int] = field(default_factory=lambda: dict.fromkeys(REASONS, 0))


def in_one_line(text: str) -> str:
    """What somebody else wrote, so that it forges no line of the log: escaped, and no longer than 300."""
    return json.dumps(text)[1:-1][:300]


def of_status(status: int, reason: str) -> PushFailed | None:
    """What an answer's status means; None where it is one of success."""
    if 200 <= status < 300:
        return None
    told = f"answered {status} {in_one_line(reason)}"
    if 300 <= status < 400:
        return PushFailed("redirect", f"{told}; set otlp.endpoint to where it leads")
    mend = "; look at otlp.headersFile" if status in _OF_STATUS else ""
    is_of_request = status in _OF_ONE_REQUEST
    return PushFailed(_OF_STATUS.get(status, "status"), f"{told}{mend}", is_of_request=is_of_request)

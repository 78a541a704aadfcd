"""What the exporter's own rooms raise on purpose; ebpf.errors draws the whole tree."""

from __future__ import annotations

from ebpf.errors import PodjouleError


class StateInvalid(PodjouleError):
    """A state file that must not be used: names the file and what is wrong with it."""


class GridError(PodjouleError):
    """A provider of grid data gave no usable value. The message never holds a secret.

    reason: one of exporter.tariffs.http.REASONS. retry_after_seconds: how long it asked to be left alone.
    """

    def __init__(self, reason: str, message: str, retry_after_seconds: float = 0.0) -> None:
        super().__init__(message)
        self.reason = reason
        self.retry_after_seconds = retry_after_seconds


class CollectFailed(PodjouleError):
    """A server or a store that failed while a report was collected: names it, what it said, and the mend."""

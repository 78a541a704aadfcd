"""How naming pods fares: counted always, logged when it changes."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from exporter.names.kube.failure import REASONS, Failure

log = logging.getLogger("exporter.pods")

# One that comes and goes is told again after this time.
REPEAT_SECONDS = 300.0
# So long may pods be there and none of them known, while Kubernetes answers. Once one was, the node's name is
# right, and who is not known is new: pods that have their names are not asked for again.
STRANGE_SECONDS = 60.0


class PodHealth:
    """Errors by reason, and whether the source answers.

    source: who is asked, for the log; kept: what holds while it does not answer.
    A kind of failure is logged when it begins and when it is over, not at each try.
    """

    def __init__(
        self,
        source: str,
        clock: Callable[[], float] = time.monotonic,
        kept: str = "names that are known stay",
    ) -> None:
        self.errors = dict.fromkeys(REASONS, 0)
        self.is_current = False
        self._source, self._clock, self._kept = source, clock, kept
        self._last_told: dict[str, float] = {}
        self._told: list[str] = []
        self._strange_since: float | None = None
        self._has_known = False

    def answered(self) -> None:
        """It works."""
        self.is_current = True
        if self._told:
            log.info("%s: answers again (%s is over)", self._source, ", ".join(self._told))
            self._told = []

    def failed(self, failure: Failure, delay_seconds: float) -> None:
        """It does not; it is tried again in delay_seconds."""
        self.is_current = False
        self.errors[failure.reason] += 1
        if failure.reason in self._told or not self._is_worth_telling(failure.reason):
            return
        self._told.append(failure.reason)
        log.warning(
            "%s: %s: %s; %s, next try in %.1f s",
            *(self._source, failure.reason, str(failure), self._kept, delay_seconds),
            exc_info=failure.__cause__ if failure.reason == "internal" else None,
        )

    def malformed(self, pods: int) -> None:
        """Some pods of an answer could not be understood; the others could."""
        if not pods:
            return
        self.errors["malformed"] += pods
        if self._is_worth_telling("pods"):
            log.warning("%s: %d pods cannot be understood and stay without a name", self._source, pods)

    def looked_up(self, *, is_known: bool, pods: int) -> None:
        """A pod of this machine was asked for. pods: how many are known."""
        self._has_known |= is_known
        if self._has_known or not self.is_current:
            self._strange_since = None
            return
        now = self._clock()
        since = self._strange_since = now if self._strange_since is None else self._strange_since
        if now - since >= STRANGE_SECONDS and self._is_worth_telling("strange"):
            log.warning(
                "%s: it tells of %d pods, and none of those that run here is among them: is this node's name"
                " right, and the cluster?",
                *(self._source, pods),
            )

    def _is_worth_telling(self, what: str) -> bool:
        now = self._clock()
        if now - self._last_told.get(what, float("-inf")) < REPEAT_SECONDS:
            return False
        self._last_told[what] = now
        return True

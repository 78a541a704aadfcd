"""A state as the log tells it: once when something begins to fail, and once when it works again."""

from __future__ import annotations

import logging


class StateLog:
    """Logs a state where it differs from the last one; at first all is well.

    failing: what is said of a failure, ahead of what it is; again: what is said once it is over, if anything.
    """

    def __init__(
        self, log: logging.Logger, failing: str, again: str = "", level: int = logging.ERROR
    ) -> None:
        self.state = ""
        self._log, self._failing, self._again, self._level = log, failing, again, level

    def enter(self, state: str, message: str = "") -> None:
        """state: the kind of failure, "" where all is well. message: what is said of it, else the kind."""
        if state == self.state:
            return
        self.state = state
        if state:
            self._log.log(self._level, "%s: %s", self._failing, message or state)
        elif self._again:
            self._log.info("%s", self._again)

"""Signals of a full-screen view: noted by their handlers, dealt with by its loop."""

from __future__ import annotations

import contextlib
import os
import signal
from types import FrameType, TracebackType

_ENDS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_OTHERS = (signal.SIGTSTP, signal.SIGCONT, signal.SIGWINCH)


class Signals:
    """A context that notes signals; `fd` has something to read whenever one came or `wake` was called."""

    def __init__(self) -> None:
        self._noted: set[int] = set()
        self._before: dict[int, object] = {}
        self.fd, self._waking = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._fd_before = -1

    def __enter__(self) -> Signals:
        # Without it select() goes on waiting after a handler has run (PEP 475).
        self._fd_before = signal.set_wakeup_fd(self._waking, warn_on_full_buffer=False)
        for number in (*_ENDS, *_OTHERS):
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        signal.set_wakeup_fd(self._fd_before)

    def wake(self) -> None:
        """Have `fd` readable. May be called from any thread."""
        with contextlib.suppress(BlockingIOError):  # it is already
            os.write(self._waking, b"\0")

    def drain(self) -> None:
        """Read what made `fd` readable."""
        with contextlib.suppress(BlockingIOError):
            while os.read(self.fd, 4096):
                pass

    def take(self, number: int) -> bool:
        """Whether this signal came since it was last asked for."""
        found = number in self._noted
        self._noted.discard(number)
        return found

    @property
    def ending(self) -> int:
        """The signal that asks us to end, 0 for none."""
        return next((number for number in _ENDS if number in self._noted), 0)

    def stop_here(self) -> None:
        """Stop as Ctrl-Z has it; returns when we are continued."""
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        # To this thread: so it stops before anything else is done.
        signal.raise_signal(signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, self._note)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._noted.add(number)

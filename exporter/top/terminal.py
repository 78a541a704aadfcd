"""The terminal as textual is to take it."""

from __future__ import annotations

import os
import sys

from textual.app import App
from textual.drivers.linux_driver import LinuxDriver


def set_up_environment() -> None:
    """Leave out what textual would read otherwise than it is meant."""
    if not os.environ.get("NO_COLOR"):  # an empty one is none: https://no-color.org
        os.environ.pop("NO_COLOR", None)
    for name in ("COLUMNS", "LINES"):  # they stay as they are when the terminal is resized
        os.environ.pop(name, None)


class StdoutDriver(LinuxDriver):
    """Draws on stdout rather than on stderr, which may be a file for the log."""

    def __init__(self, app: App[object], **options: object) -> None:
        super().__init__(app, **options)  # type: ignore[arg-type]
        out = sys.__stdout__ or sys.stdout
        # A name that the terminal's encoding lacks must not end the thread that writes.
        self._file = open(out.fileno(), "w", encoding=out.encoding, errors="replace", closefd=False)  # noqa: SIM115

    def resume_application_mode(self) -> None:
        """Go on after a stop, but not once it ends: what reads the terminal would be started again, for good.

        A terminal that goes away tells whoever ends to continue, too.
        """
        if self._app.return_code is None:
            super().resume_application_mode()

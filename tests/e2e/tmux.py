"""A real terminal: tmux, with a server of its own and a shell in it."""

from __future__ import annotations

import contextlib
import re
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROMPT = "ready>"
WAIT_SECONDS = 40.0  # the machine may be busy; what is waited for comes in one or two


class Tmux:
    """One window; keys are named as `tmux send-keys` has them."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    def run(self, *arguments: str) -> str:
        command = ["tmux", "-S", str(self._socket), "-f", "/dev/null", *arguments]
        found = subprocess.run(command, capture_output=True, text=True, timeout=30)
        assert found.returncode == 0, f"{arguments}: {found.stderr}"
        return found.stdout

    def keys(self, *names: str) -> None:
        self.run("send-keys", *names)

    def type(self, text: str) -> None:
        self.run("send-keys", "-l", text)

    def shell(self, command: str) -> None:
        self.type(command)
        self.keys("Enter")

    def screen(self) -> list[str]:
        return self.run("capture-pane", "-p").split("\n")[:-1]

    def coloured(self) -> str:
        return self.run("capture-pane", "-p", "-e")

    def state(self) -> tuple[str, str, str]:
        """Whether the alternate screen, the cursor and line wrap are on."""
        alternate, cursor, wrap = self.run(
            "display", "-p", "#{alternate_on} #{cursor_flag} #{wrap_flag}"
        ).split()
        return alternate, cursor, wrap

    def resize(self, columns: int, lines: int) -> None:
        self.run("resize-window", "-x", str(columns), "-y", str(lines))

    def wait(self, pattern: str, until: Callable[[list[str]], bool] = lambda _: True) -> list[str]:
        """The screen once the pattern is on it, and what else is asked of it holds."""
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            screen = self.screen()
            if re.search(pattern, "\n".join(screen), re.MULTILINE) and until(screen):
                return screen
            if time.monotonic() > deadline:
                raise AssertionError(f"not seen: {pattern}\n" + "\n".join(screen))
            time.sleep(0.1)

    def child(self) -> int:
        """The process that the shell runs."""
        shell = self.run("display", "-p", "#{pane_pid}").strip()
        (child,) = Path(f"/proc/{shell}/task/{shell}/children").read_text().split()
        return int(child)


@contextlib.contextmanager
def terminal(
    folder: Path, columns: int = 80, lines: int = 24, environment: Mapping[str, str] | None = None
) -> Iterator[Tmux]:
    """A terminal of this size, gone afterwards with what runs in it."""
    tmux = Tmux(folder / f"tmux-{uuid.uuid4().hex[:8]}")
    # A shell between tmux and this one would not hand the prompt on.
    given = {"PS1": f"{PROMPT} ", **(environment or {})}
    tmux.run(
        *("new-session", "-d", "-x", str(columns), "-y", str(lines), "-c", str(ROOT)),
        *("env", "-u", "NO_COLOR", *(f"{key}={value}" for key, value in given.items())),
        *("bash", "--norc", "--noprofile"),
    )
    try:
        tmux.wait(PROMPT)
        yield tmux
    finally:
        tmux.run("kill-server")

"""focus-validator of the FinOps Foundation, in an environment of its own: it wants other libraries.

Installed once, and kept for other checkouts. Its rules and currency codes are in the package; it asks nobody.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from ebpf.directory_lock import lock_directory
from tests.programs import kept

PACKAGES = ("focus-validator==1.0.0", "multimethod<2")  # pandera 0.17, which it wants, knows no later one
FOLDER = kept() / "focus-validator"
PLACE = FOLDER / f"{sys.version_info.major}.{sys.version_info.minor}.{sys.version_info.micro}"
LONGEST_SECONDS = 280
_WHOLE = PLACE / "installed"


class NotInstalled(OSError):
    """No environment could be made; the message is pip's."""


def install() -> None:
    """Make the environment where there is none; others may be at it. Raises NotInstalled."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    held = lock_directory(FOLDER, LONGEST_SECONDS)
    try:
        _install()
    finally:
        if held is not None:
            os.close(held)


def _install() -> None:
    if _WHOLE.exists() and _WHOLE.read_text() == str(PACKAGES):
        return
    shutil.rmtree(PLACE, ignore_errors=True)
    for command in (
        [sys.executable, "-m", "venv", str(PLACE)],
        [*_python(), "-m", "pip", "install", "--quiet", "--no-compile", *PACKAGES],
    ):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise NotInstalled(done.stderr.strip())
    _WHOLE.write_text(str(PACKAGES))


def validate(file: Path) -> str:
    """What it says of a CSV file."""
    [packages] = PLACE.glob("lib/python*/site-packages")  # it finds its currencies from there
    command = [*_python(), "-m", "focus_validator.main", "--data-file", str(file)]
    done = subprocess.run(
        [*command, "--validate-version", "1.0"], cwd=packages, capture_output=True, text=True, timeout=120
    )
    return done.stdout + done.stderr


def _python() -> list[str]:
    """Its own, which does not look where PYTHONPATH says: pytest-xdist says where we are."""
    return [str(PLACE / "bin/python"), "-E"]

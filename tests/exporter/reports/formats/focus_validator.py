"""focus-validator of the FinOps Foundation, in an environment of its own: it wants other libraries.

Installed once, into .cluster/. Its rules and currency codes are in the package; it asks nobody.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

PLACE = Path(__file__).parents[4] / ".cluster" / "focus-validator"
PACKAGES = ("focus-validator==1.0.0", "multimethod<2")  # pandera 0.17, which it wants, knows no later one
_WHOLE = PLACE / "installed"


class NotInstalled(OSError):
    """No environment could be made; the message is pip's."""


def install() -> None:
    """Make the environment where there is none. Raises NotInstalled."""
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

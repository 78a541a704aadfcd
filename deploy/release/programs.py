"""Programs that a release runs, and which versions of those that decide on bytes."""

from __future__ import annotations

import os
import subprocess
import sys
import zlib
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from deploy.release.errors import ReleaseError

_LAST_LINES = 15


def run(*command: str | Path, folder: Path | None = None, variables: Mapping[str, str] | None = None) -> str:
    """What it wrote to stdout. variables: beside those of the environment. Raises ReleaseError."""
    return output(*command, folder=folder, variables=variables).decode()


def output(
    *command: str | Path, folder: Path | None = None, variables: Mapping[str, str] | None = None
) -> bytes:
    """The bytes that it wrote to stdout. Raises ReleaseError."""
    words = [str(word) for word in command]
    environment = {**os.environ, **(variables or {})}
    try:
        done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, check=False)
    except FileNotFoundError as error:
        raise ReleaseError(f"{words[0]} is not on this machine: `make set-up` installs it") from error
    if done.returncode:
        said = (done.stdout + done.stderr).decode(errors="replace").strip().splitlines()
        raise ReleaseError("\n".join([f"{' '.join(words[:4])} … failed:", *said[-_LAST_LINES:]]))
    return done.stdout


def versions() -> dict[str, str]:
    """Name -> version of each program whose version shows in the bytes of a release."""
    return {
        "clang": run("clang", "-dumpversion").strip(),
        "python": ".".join(map(str, sys.version_info[:3])),
        "setuptools": version("setuptools"),
        "zlib": zlib.ZLIB_RUNTIME_VERSION,
    }

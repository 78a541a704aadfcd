"""The host's files, as somebody reads them who does not know which of them are there."""

from __future__ import annotations

import json
import os
from pathlib import Path

from exporter.configuration.file_signature import Signature, signature


class HostFiles:
    """Nothing is where there is no file; nor is what cannot be read or understood, counted in `errors`."""

    def __init__(self) -> None:
        self.errors = 0

    def glob(self, directory: Path, pattern: str) -> list[Path]:
        """What matches in a directory, in order."""
        try:
            return sorted(directory.glob(pattern))
        except OSError:  # a home on a file server that is gone
            self.errors += 1
            return []

    def listed(self, directory: Path) -> list[str]:
        """The names in a directory."""
        try:
            return os.listdir(directory)  # noqa: PTH208  names alone, as many as containers
        except FileNotFoundError:
            return []
        except OSError:
            self.errors += 1
            return []

    def text(self, path: Path) -> str:
        """A file's text."""
        try:
            return path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return ""
        except OSError:
            self.errors += 1
            return ""

    def load(self, path: Path) -> object:
        """What a file of JSON holds."""
        text = self.text(path)
        try:
            return json.loads(text) if text else None
        except (ValueError, RecursionError):
            self.errors += 1
            return None

    def signature(self, path: Path) -> Signature:
        """What changes with a file's content."""
        return signature(path)

"""The host's files, with every look at them noted."""

from __future__ import annotations

from pathlib import Path

from exporter.configuration.file_signature import Signature
from exporter.names.host_files import HostFiles


class CountedFiles(HostFiles):
    """looks: what was listed, read or asked whether it has changed, each time."""

    def __init__(self) -> None:
        super().__init__()
        self.looks: list[Path] = []

    def glob(self, directory: Path, pattern: str) -> list[Path]:
        self.looks.append(directory)
        return super().glob(directory, pattern)

    def listed(self, directory: Path) -> list[str]:
        self.looks.append(directory)
        return super().listed(directory)

    def text(self, path: Path) -> str:
        self.looks.append(path)
        return super().text(path)

    def signature(self, path: Path) -> Signature:
        self.looks.append(path)
        return super().signature(path)

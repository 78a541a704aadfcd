"""What GPUs draw while nobody has them, kept for the next start: one that is busy then cannot tell it."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from pathlib import Path

from ebpf.state_log import StateLog
from estimator.model.whole_file import write_whole

log = logging.getLogger("exporter.calibration")

FILE = "gpus.json"
_WORTH_WRITING = 0.01  # of what was written before


class GpuIdleFile:
    """Watts by the path of a GPU. path: None for nowhere. A disk that fails costs the file, not the tick."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._written: Mapping[str, float] = {}
        self._saving = StateLog(log, "the idle power of GPUs is not saved", "it is saved again")

    def load(self) -> Mapping[str, float]:
        """What was saved; nothing of a file that is none of ours, which is said."""
        if self._path is None:
            return {}
        try:
            self._written = _checked(json.loads(self._path.read_bytes()))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            log.warning("the idle power of GPUs is learned anew: %s: %s", self._path, error)
        return self._written

    def save(self, watts: Mapping[str, float]) -> None:
        """Write where a GPU is new, or draws clearly less than was known."""
        if self._path is None or not any(map(self._is_news, watts.items())):
            return
        text = json.dumps(dict(watts), allow_nan=False, indent=1)
        try:
            write_whole(self._path, lambda file: file.write(text.encode()))
            self._written = dict(watts)
            self._saving.enter("")
        except OSError as error:
            self._saving.enter(f"{self._path}: {error.strerror or error}")

    def _is_news(self, told: tuple[str, float]) -> bool:
        path, watts = told
        return watts < self._written.get(path, math.inf) * (1 - _WORTH_WRITING)


def _checked(document: object) -> dict[str, float]:
    if not isinstance(document, dict):
        raise ValueError("wanted an object of watts by GPU")
    for path, watts in document.items():
        if not isinstance(watts, int | float) or not 0 <= watts < math.inf:
            raise ValueError(f"wanted watts for {path}, found {watts!r}; remove the file")
    return document

"""What GPUs draw while nobody has them, kept for the next start: one that is busy then cannot tell it.

{"schema": "podjoule.gpus/1", "idle_watts": {"GPU-5c1e…": 60.5}}
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ebpf.state_log import StateLog
from estimator.model.whole_file import OF_ANOTHER, refuse, write_whole

log = logging.getLogger("exporter.calibration")

FILE = "gpus.json"
SCHEMA = "podjoule.gpus/1"
_WORTH_WRITING = 0.01  # of what was written before


class GpuIdleFile:
    """Watts by the path of a GPU. path: None for nowhere. A disk that fails costs the file, not the tick."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._written: Mapping[str, float] = {}
        self._saving = StateLog(log, "the idle power of GPUs is not saved", "it is saved again")

    def load(self) -> Mapping[str, float]:
        """What was saved; nothing of a file that must not be used, which is said and set aside."""
        if self._path is None:
            return {}
        try:
            self._written = _checked(json.loads(self._path.read_bytes()))
        except FileNotFoundError:
            return {}
        except OSError as error:
            log.warning("the idle power of GPUs is learned anew: %s: %s", self._path, error)
        except (ValueError, RecursionError) as error:
            log.warning("the idle power of GPUs is learned anew: %s: %s", self._path, error)
            refuse(self._path, log)
        return self._written

    def save(self, watts: Mapping[str, float]) -> None:
        """Write where a GPU is new, or draws clearly less than was known."""
        if self._path is None or not any(map(self._is_news, watts.items())):
            return
        text = json.dumps({"schema": SCHEMA, "idle_watts": dict(watts)}, allow_nan=False, indent=1)
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
    """The watts in a file. Raises ValueError for what must not be used, naming the field."""
    if not isinstance(document, dict):
        raise ValueError("wanted an object")
    watts = _of_schema(document) if "schema" in document else document
    for path, each in watts.items():
        if isinstance(each, bool) or not isinstance(each, int | float) or not 0 <= each < math.inf:
            raise ValueError(f"field {path}: wanted watts, found {each!r}")
    return watts


def _of_schema(document: dict[str, Any]) -> dict[str, Any]:
    """What has no schema is of before there was one, and has the watts at its root."""
    found, watts = document["schema"], document.get("idle_watts")
    if found != SCHEMA:
        raise ValueError(f"field schema: found {found}, this podjoule reads {SCHEMA}: {OF_ANOTHER}")
    if not isinstance(watts, dict):
        raise ValueError("field idle_watts: wanted an object of watts by GPU")
    return watts

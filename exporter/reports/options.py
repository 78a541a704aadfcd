"""How hours were collected, as their files say: rows that were collected in two ways are no one account."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from exporter.errors import AccountInvalid

METADATA: Final = "options"
"""The key of a file's schema that they stand under."""


@dataclass(frozen=True, slots=True)
class Options:
    """What rows depend on besides the server. labels: sorted. node_groups: NAME=REGEX, in order.
    market_intensity: g/kWh."""

    labels: tuple[str, ...] = ()
    node_groups: tuple[str, ...] = ()
    market_intensity: float | None = None

    @property
    def content(self) -> str:
        """The metadata: the same options are the same text."""
        return json.dumps(asdict(self), sort_keys=True, ensure_ascii=False)

    @property
    def flags(self) -> str:
        """What to collect with to get the same."""
        return shlex.join(self._arguments()) or "none of --labels, --node-groups, --market-intensity"

    def _arguments(self) -> Sequence[str]:
        labels = ["--labels", ",".join(self.labels)] if self.labels else []
        groups = ["--node-groups", *self.node_groups] if self.node_groups else []
        told = self.market_intensity is not None
        return [*labels, *groups, *(["--market-intensity", f"{self.market_intensity:.12g}"] if told else [])]


def from_document(found: dict[str, Any]) -> Options:
    """Options of their document. Raises KeyError and TypeError for what is none."""
    return Options(tuple(found["labels"]), tuple(found["node_groups"]), found["market_intensity"])


def of_metadata(metadata: dict[bytes, bytes] | None) -> Options | None:
    """Options of a file's schema; None where it does not say."""
    content = (metadata or {}).get(METADATA.encode())
    return from_document(json.loads(content)) if content else None


def only_ones(found: Iterable[tuple[str, Options | None]]) -> Options | None:
    """The options of files that are to be one account, by their paths; None where none says.

    Raises AccountInvalid where they differ.
    """
    known = [(path, options) for path, options in found if options]
    if not known:
        return None
    (first, wanted), *rest = known
    others = [(path, options) for path, options in rest if options != wanted]
    if others:
        path, options = others[0]
        raise AccountInvalid(
            f"{path}: was collected with {options.flags}, but {first} with {wanted.flags}, and {len(others)} "
            f"of {len(known)} files differ so: remove those hours and collect them again with the same flags"
        )
    return wanted

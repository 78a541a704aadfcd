"""Families of series and the text that Prometheus reads, byte for byte what prometheus_client would write.

What a line has in front of its value hardly ever changes between ticks, and half of the values do not either:
both are kept from one rendering to the next, for the series that are still there and for no others.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import itemgetter

import numpy as np
import numpy.typing as npt

from exporter.metrics.created_lines import CreatedLines
from exporter.metrics.floats import Floats, format_floats

Labels = tuple[str, ...]
Indices = npt.NDArray[np.intp]

# Colons belong to recording rules. With such names every escaping scheme but "dots" leaves the text as it is.
_METRIC_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_LABEL_NAME = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*")


@dataclass(frozen=True, slots=True)
class Family:
    """One metric family: what it is called and its series.

    name: as in the text format, so that a counter's ends in _total. type: "counter" or "gauge".
    labels: one tuple a series, in the order of label_names. values: one float a series. created: the Unix
    times at which a counter's series were 0, which OpenMetrics tells and the text format does not.
    """

    name: str
    help: str
    type: str
    label_names: tuple[str, ...]
    labels: Sequence[Labels]
    values: Sequence[float] | Floats
    created: Sequence[float] | Floats | None = None


class Renderer:
    """Renders families; remembers the lines of the last call's series, and only those. From any thread."""

    def __init__(self) -> None:
        self._lines: dict[str, _Lines] = {}
        self._lock = threading.Lock()

    def render(self, families: Sequence[Family], openmetrics: bool = False) -> bytes:
        """The whole page in the text format 0.0.4, or in OpenMetrics 1.0: the families in their order.

        Raises ValueError for a name that Prometheus does not allow, a counter not called _total, a family
        that comes twice, and labels that do not match label_names or values in number.
        """
        with self._lock:
            parts: list[bytes] = []
            for lines in self._update(families):
                lines.write(parts, openmetrics)
        if openmetrics:
            parts.append(b"# EOF\n")
        return b"".join(parts)

    def _update(self, families: Sequence[Family]) -> Iterable[_Lines]:
        before, self._lines = self._lines, {}  # after an error nothing is taken for rendered
        kept = {family.name: _kept(before.get(family.name), family) for family in families}
        if len(kept) != len(families):
            raise ValueError(f"a family comes twice among {[family.name for family in families]!r}")
        changes = [kept[family.name].changes(family) for family in families]
        texts = iter(_format_changes(kept.values(), changes))
        for lines, changed in zip(kept.values(), changes, strict=True):
            lines.change(changed, list(islice(texts, len(changed))))
        self._lines = kept
        return kept.values()


def _kept(lines: _Lines | None, family: Family) -> _Lines:
    head = (family.help, family.type, family.label_names)
    return lines if lines is not None and lines.head == head else _Lines(family)


def _format_changes(kept: Iterable[_Lines], changes: Iterable[Indices]) -> list[bytes]:
    # In one call, since formatting is cheap by the thousand only.
    values = [lines.values[changed] for lines, changed in zip(kept, changes, strict=True)]
    return format_floats(np.concatenate([np.empty(0), *values]))


class _Lines:
    """The lines of one family, kept between ticks as [name{labels}, value, name{labels}, value, …]."""

    def __init__(self, family: Family) -> None:
        _check(family)
        self.head = (family.help, family.type, family.label_names)
        self.values: Floats = np.empty(0)
        self._headers = _headers(family)
        self._prefix = _Prefix(family.name, family.label_names)
        self._labels: tuple[Labels, ...] = ()
        self._pieces = [b"\n"]
        self._created: Floats | None = None
        self._created_lines = CreatedLines(family.name)
        self._starts: tuple[bytes, ...] = ()
        self._openmetrics = [b"\n"]

    def changes(self, family: Family) -> Indices:
        """Take over labels and values; the indices of the values that `change` must be given anew."""
        # Copied, and compared unless they are one tuple: a caller may go on using what it passed.
        values, labels = np.array(family.values, dtype=np.float64), tuple(family.labels)
        if values.shape != (len(labels),):
            raise ValueError(f"{family.name}: {len(labels)} label tuples for values of shape {values.shape}")
        if labels is self._labels or labels == self._labels:
            # By their bits, so that NaN equals itself and 0 does not equal -0.
            changed = np.flatnonzero(values.view(np.int64) != self.values.view(np.int64))
        else:
            self._relabel(labels)
            changed = np.arange(len(labels))
        self.values = values
        self._created = _starts(family)
        return changed

    def _relabel(self, labels: tuple[Labels, ...]) -> None:
        known = dict(zip(self._labels, self._pieces[0::2], strict=False))
        prefixes = [known.get(key) or self._prefix.of(key) for key in labels]
        self._pieces = [b""] * (2 * len(labels)) + [b"\n"]
        self._pieces[0:-1:2] = prefixes
        self._labels = labels

    def change(self, changed: Indices, texts: list[bytes]) -> None:
        """Take new texts for the values at these indices."""
        if len(changed) == len(self._labels):
            self._pieces[1::2] = texts
        else:
            for index, text in zip(changed.tolist(), texts, strict=True):
                self._pieces[2 * index + 1] = text

    def write(self, to: list[bytes], openmetrics: bool) -> None:
        """Append the family's text; OpenMetrics has a line of its start behind each series that has one."""
        to.append(self._headers[openmetrics])
        created = self._created if openmetrics else None
        to += self._pieces if created is None else self._with_starts(created)

    def _with_starts(self, created: Floats) -> list[bytes]:
        """The pieces with a line of its start behind each value; all but the values stays as it was."""
        prefixes = self._pieces[0:-1:2]
        starts = self._created_lines.of(self._labels, prefixes, created)
        if starts is not self._starts:
            self._starts = starts
            self._openmetrics = [b""] * (3 * len(starts)) + [b"\n"]
            self._openmetrics[0:-1:3] = prefixes
            self._openmetrics[2::3] = starts
        self._openmetrics[1::3] = self._pieces[1::2]
        return self._openmetrics


def _starts(family: Family) -> Floats | None:
    if family.created is None:
        return None
    created = np.array(family.created, dtype=np.float64)
    if created.shape != (len(family.labels),):
        raise ValueError(f"{family.name}: starts of shape {created.shape} for {len(family.labels)} values")
    return created


class _Prefix:
    """Writes what stands in front of a value: newline, name, labels sorted by name, space."""

    def __init__(self, name: str, label_names: tuple[str, ...]) -> None:
        order = sorted(range(len(label_names)), key=label_names.__getitem__)
        pairs = ",".join(f'{label_names[index]}="%s"' for index in order)
        self._name = name
        self._width = len(label_names)
        self._template = f"\n{name}{{{pairs}}} " if pairs else f"\n{name} "
        self._sort = itemgetter(*order) if len(order) > 1 else tuple

    def of(self, labels: Labels) -> bytes:
        """The prefix of the series with these labels; ValueError if they are too many or too few."""
        if len(labels) != self._width:
            raise ValueError(f"{self._name}: {self._width} label names for the label values {labels!r}")
        text = self._template % tuple(map(_escape, self._sort(labels)))
        # A cgroup's name can be any bytes. One that is not UTF-8 must not cost the node its metrics.
        return text.encode("utf-8", "replace")


def _escape(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _headers(family: Family) -> tuple[bytes, bytes]:
    """HELP and TYPE in text and OpenMetrics, without the last newline: each line of a body brings its own."""
    stem = family.name.removesuffix("_total") if family.type == "counter" else family.name
    text_help = family.help.replace("\\", r"\\").replace("\n", r"\n")
    text = f"# HELP {family.name} {text_help}\n# TYPE {family.name} {family.type}"
    openmetrics = f"# HELP {stem} {_escape(family.help)}\n# TYPE {stem} {family.type}"
    return text.encode(), openmetrics.encode()


def _check(family: Family) -> None:
    names = family.label_names
    if family.type not in ("counter", "gauge"):
        raise ValueError(f"{family.name}: type {family.type!r} is neither counter nor gauge")
    if not _METRIC_NAME.fullmatch(family.name):
        raise ValueError(f"{family.name!r} is not a metric name")
    if family.type == "gauge" and family.created is not None:
        raise ValueError(f"{family.name}: a gauge has no start")
    if family.type == "counter" and not family.name.endswith("_total"):
        raise ValueError(f"{family.name}: a counter's name ends in _total")
    if len(set(names)) != len(names) or not all(map(_LABEL_NAME.fullmatch, names)):
        raise ValueError(f"{family.name}: label names {names!r} must be allowed and all different")

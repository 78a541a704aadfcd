"""Families of series and the text that Prometheus reads, byte for byte what prometheus_client would write.

What a line has in front of its value hardly ever changes between ticks, and half of the values do not either:
both are kept from one rendering to the next, for the series that are still there and for no others. The text
of labels is most of it, and kept once for all families that have them from one tuple.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
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
        page = BytesIO()  # b"".join would have a list of all pieces, and 80 bytes beside each
        with self._lock:
            for lines in self._update(families):
                lines.write(page, openmetrics)
        if openmetrics:
            page.write(b"# EOF\n")
        return page.getvalue()

    def _update(self, families: Sequence[Family]) -> Iterable[_Lines]:
        before, self._lines = self._lines, {}  # after an error nothing is taken for rendered
        kept = {family.name: _kept(before.get(family.name), family) for family in families}
        if len(kept) != len(families):
            raise ValueError(f"a family comes twice among {[family.name for family in families]!r}")
        sharing = _Sharing(kept.values())
        changes = [kept[family.name].changes(family, sharing) for family in families]
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
    """The lines of one family, kept between ticks as [name, {labels}, value, name, {labels}, value, …]."""

    def __init__(self, family: Family) -> None:
        _check(family)
        self.head = (family.help, family.type, family.label_names)
        self.values: Floats = np.empty(0)
        self._headers = _headers(family)
        self._name = f"\n{family.name}".encode()
        self._label_texts = _LabelTexts(family.name, family.label_names)
        self.labels: tuple[Labels, ...] = ()
        self._pieces = [b"\n"]
        self._created: Floats | None = None
        self._created_lines = CreatedLines(family.name)
        self._starts: tuple[bytes, ...] = ()
        self._openmetrics = [b"\n"]

    @property
    def label_texts(self) -> list[bytes]:
        """What stands between the name and the value, by series."""
        return self._pieces[1::3]

    def changes(self, family: Family, sharing: _Sharing) -> Indices:
        """Take over labels and values; the indices of the values that `change` must be given anew."""
        # Copied, and compared unless they are one tuple: a caller may go on using what it passed.
        values, labels = np.array(family.values, dtype=np.float64), tuple(family.labels)
        if values.shape != (len(labels),):
            raise ValueError(f"{family.name}: {len(labels)} label tuples for values of shape {values.shape}")
        if labels is self.labels or labels == self.labels:
            # By their bits, so that NaN equals itself and 0 does not equal -0.
            changed = np.flatnonzero(values.view(np.int64) != self.values.view(np.int64))
        else:
            self._relabel(labels, sharing)
            changed = np.arange(len(labels))
        self.values = values
        self._created = _starts(family)
        return changed

    def _relabel(self, labels: tuple[Labels, ...], sharing: _Sharing) -> None:
        texts = sharing.texts(self.head[2], labels)
        if texts is None:
            known = dict(zip(self.labels, self.label_texts, strict=True))
            texts = [known.get(key) or self._label_texts.of(key) for key in labels]
        self._pieces = [self._name, b"", b""] * len(labels) + [b"\n"]
        self._pieces[1::3] = texts
        self.labels = labels
        sharing.offer(self)

    def change(self, changed: Indices, texts: list[bytes]) -> None:
        """Take new texts for the values at these indices."""
        if len(changed) == len(self.labels):
            self._pieces[2::3] = texts
        else:
            for index, text in zip(changed.tolist(), texts, strict=True):
                self._pieces[3 * index + 2] = text

    def write(self, page: BytesIO, openmetrics: bool) -> None:
        """Append the family's text; OpenMetrics has a line of its start behind each series that has one."""
        page.write(self._headers[openmetrics])
        created = self._created if openmetrics else None
        page.writelines(self._pieces if created is None else self._with_starts(created))

    def _with_starts(self, created: Floats) -> list[bytes]:
        """The pieces with a line of its start behind each value; all but the values stays as it was."""
        texts = self.label_texts
        starts = self._created_lines.of(self.labels, texts, created)
        if starts is not self._starts:
            self._starts = starts
            self._openmetrics = [self._name, b"", b"", b""] * len(starts) + [b"\n"]
            self._openmetrics[1::4] = texts
            self._openmetrics[3::4] = starts
        self._openmetrics[2::4] = self._pieces[2::3]
        return self._openmetrics


class _Sharing:
    """The texts of labels that families have in common: those of a kind of workload come in one tuple."""

    def __init__(self, kept: Iterable[_Lines]) -> None:
        self._by_labels: dict[tuple[tuple[str, ...], int], _Lines] = {}
        for lines in kept:
            self.offer(lines)

    def offer(self, lines: _Lines) -> None:
        """Others may take theirs from these lines."""
        self._by_labels[lines.head[2], id(lines.labels)] = lines

    def texts(self, label_names: tuple[str, ...], labels: tuple[Labels, ...]) -> list[bytes] | None:
        """Those of that very tuple under these names, or None."""
        lines = self._by_labels.get((label_names, id(labels)))
        # Lines that got others since they were offered may have had a tuple that is gone, its id another's.
        return lines.label_texts if lines is not None and lines.labels is labels else None


def _starts(family: Family) -> Floats | None:
    if family.created is None:
        return None
    created = np.array(family.created, dtype=np.float64)
    if created.shape != (len(family.labels),):
        raise ValueError(f"{family.name}: starts of shape {created.shape} for {len(family.labels)} values")
    return created


class _LabelTexts:
    """Writes what stands between a name and a value: labels sorted by name, space."""

    def __init__(self, name: str, label_names: tuple[str, ...]) -> None:
        order = sorted(range(len(label_names)), key=label_names.__getitem__)
        pairs = ",".join(f'{label_names[index]}="%s"' for index in order)
        self._name = name
        self._width = len(label_names)
        self._template = f"{{{pairs}}} " if pairs else " "
        self._sort = itemgetter(*order) if len(order) > 1 else tuple

    def of(self, labels: Labels) -> bytes:
        """The text of the series with these labels; ValueError if they are too many or too few."""
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

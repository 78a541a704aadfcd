"""The lines by which OpenMetrics says since when a counter counts: the Unix time at which it was 0."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from exporter.metrics.floats import Floats, format_floats

Labels = tuple[str, ...]


class CreatedLines:
    """One line a series of a counter, made anew for those alone that came or have another start."""

    def __init__(self, name: str) -> None:
        self._stem = f"\n{name.removesuffix('_total')}_created".encode()
        self._labels: tuple[Labels, ...] = ()
        self._created: Floats = np.empty(0)
        self._lines: tuple[bytes, ...] = ()

    def of(self, labels: tuple[Labels, ...], texts: Sequence[bytes], created: Floats) -> tuple[bytes, ...]:
        """The lines of these series, each behind a newline.

        texts: of each series' labels, with a space. created: shape (n,), kept.
        """
        # By their bits, so that NaN equals itself and 0 does not equal -0.
        bits = created.view(np.int64)
        if labels is self._labels and np.array_equal(bits, self._created.view(np.int64)):
            return self._lines
        before = zip(self._labels, self._created.view(np.int64).tolist(), strict=True)
        known = dict(zip(before, self._lines, strict=True))
        lines = [known.get(key, b"") for key in zip(labels, bits.tolist(), strict=True)]
        fresh = [index for index, line in enumerate(lines) if not line]
        for index, start in zip(fresh, format_floats(created[fresh]), strict=True):
            lines[index] = self._stem + texts[index] + start
        self._labels, self._created, self._lines = labels, created, tuple(lines)
        return self._lines

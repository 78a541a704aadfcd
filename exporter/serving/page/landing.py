"""The page at /, with a table in it for those who have no JavaScript."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ebpf.version import VERSION
from exporter.late_modules import late
from exporter.plain_text import printable
from exporter.serving.api.status import status
from exporter.serving.api.view import VALUES, View, is_top
from exporter.serving.page.responses import OK, Response

with late("html", "escape"):  # a third of a megabyte, for this page alone
    from html import escape

_ROWS = 20
_UNKNOWN = "\u2013"
_WATTS, _JOULES, _CORES = (VALUES.index(name) for name in ("watts", "joules", "cores"))


def landing(template: str, view: View | None) -> Response:
    """The page as of the last tick."""
    summary = "<p>The first measurement is not done yet.</p>" if view is None else _summary(view)
    text = template.replace("<!--version-->", escape(VERSION)).replace("<!--summary-->", summary)
    return Response(OK, text.encode(), "text/html; charset=utf-8")


def _summary(view: View) -> str:
    found = status(view, view.pace.ended_seconds, None)
    energy: dict[str, float | None] = found["energy"]  # type: ignore[assignment]
    said = "estimated by a model" if view.is_estimated else "measured"
    watts = energy["watts"]
    drawn = "not known" if watts is None else f"{watts:.2f} W ({said})"
    return f"<p>{escape(view.node)}: {drawn}. Reload to see the next measurement.</p>{_table(view)}"


def _table(view: View) -> str:
    rows = view.rows
    tops = np.array(
        [
            i
            for i, account in enumerate(rows.accounts)
            if is_top(account.workload.kind, account.workload.pod_uid)
        ],
        np.intp,
    )
    order = tops[np.argsort(-rows.values[tops, _WATTS], kind="stable")][:_ROWS].tolist()
    lines = [
        _line(
            [rows.accounts[i].name or rows.accounts[i].workload.id, rows.accounts[i].workload.kind], numbers
        )
        for i in order
        for numbers in [rows.values[i, [_WATTS, _JOULES, _CORES]].tolist()]
    ]
    head = "".join(
        f'<th scope="col">{name}</th>' for name in ("Name", "Kind", "Watts", "Joules", "CPU cores")
    )
    return (
        '<table class="plain"><caption>The largest now</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"
    )


def _line(texts: Sequence[str], numbers: Sequence[float]) -> str:
    name, *more = (escape(printable(text)) for text in texts)
    spelt = [_UNKNOWN if math.isnan(number) else f"{number:.2f}" for number in numbers]
    cells = "".join(f"<td>{text}</td>" for text in (*more, *spelt))
    return f'<tr><th scope="row">{name}</th>{cells}</tr>'

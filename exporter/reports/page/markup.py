"""HTML and SVG that cannot be broken by what stands in it: text is escaped unless it was made here."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from exporter.plain_text import printable
from exporter.reports.page.figures import THIN

_VOID = {"meta", "input", "br"}


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def text(value: str) -> Markup:
    """A name as it may be shown, whoever chose it; the space before units stays."""
    return value if isinstance(value, Markup) else Markup(escape(_shown(value)))


def joined(children: Iterable[str]) -> Markup:
    """One after another."""
    return Markup("".join(map(text, children)))


def element(tag: str, *children: str, **attributes: str | float | bool | None) -> Markup:
    """<tag …>children</tag>.

    attributes: `class_` is class, `aria_label` aria-label; None and False are left out, True stands alone;
    floats have at most six digits.
    """
    opened = f"<{tag}{''.join(_attribute(name, value) for name, value in attributes.items())}>"
    return Markup(opened if tag in _VOID else f"{opened}{joined(children)}</{tag}>")


def _shown(value: str) -> str:
    return THIN.join(map(printable, value.split(THIN)))


def _attribute(name: str, value: str | float | bool | None) -> str:
    name = name.rstrip("_").replace("_", "-")
    if value is None or value is False:
        return ""
    if value is True:
        return f" {name}"
    spelt = f"{value:.6g}" if isinstance(value, float) else escape(_shown(str(value)))
    return f' {name}="{spelt}"'

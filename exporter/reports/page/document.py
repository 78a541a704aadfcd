"""The one file: what is written where, and a policy that lets the browser ask nobody for anything."""

from __future__ import annotations

import base64
import hashlib
from importlib import resources

from ebpf.version import VERSION
from exporter.reports.page import cards
from exporter.reports.page.charts.drawing import patterns
from exporter.reports.page.figures import date, period
from exporter.reports.page.markup import Markup, element, joined
from exporter.reports.page.reading import reading
from exporter.reports.summary import Summary

_BOLT = Markup(
    '<svg viewBox="0 0 32 32" width="28" height="28" class="bolt" aria-hidden="true" focusable="false">'
    '<rect width="32" height="32" rx="8"/><path d="M18 4 8 18h6l-2 10 12-15h-7z"/></svg>'
)


def render(summary: Summary) -> str:
    """The page of a summary: the same summary is the same text."""
    style, script = (_file(name) for name in ("report.css", "report.js"))
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_policy(style, script)),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", f"{summary.title} \u00b7 podjoule"),
        element("style", Markup(style)),
    )
    body = element("body", patterns(), _top(summary), _main(summary), _foot(summary), _script(script))
    return f"<!DOCTYPE html>\n{element('html', head, body, lang='en')}\n"


def _policy(style: str, script: str) -> str:
    """Nothing is fetched; the page's own style and script run, and no other that got into it."""
    return (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _file(name: str) -> str:
    return (resources.files("exporter.reports.page") / "ui" / name).read_text("utf-8")


def _script(script: str) -> Markup:
    return element("script", Markup(script))


def _top(summary: Summary) -> Markup:
    covered = period(summary.from_seconds, summary.to_seconds)
    under = " \u00b7 ".join(part for part in (covered, ", ".join(summary.clusters)) if part)
    brand = element("p", _BOLT, element("span", "podjoule"), class_="brand")
    titles = element("div", element("h1", summary.title), element("p", under, class_="note"))
    return element("header", titles, brand, class_="top")


def _main(summary: Summary) -> Markup:
    pairs = (
        (cards.how_sure(summary), cards.what_changed(summary)),
        (cards.sci(summary), cards.embodied(summary)),
    )
    sure, emitted = (_beside(pair) for pair in pairs)
    return element(
        "main",
        cards.headline(summary),
        cards.where_it_went(summary),
        cards.by_day(summary),
        sure,
        cards.reserved(summary),
        emitted,
        cards.every_group(summary),
        reading(),
    )


def _beside(pair: tuple[Markup, Markup]) -> Markup:
    there = [each for each in pair if each]
    return element("div", *there, class_="columns") if len(there) == 2 else joined(there)


def _foot(summary: Summary) -> Markup:
    covers = f"Rows from {date(summary.from_seconds)} until {date(summary.to_seconds)}, UTC."
    closed = f" Closed, SHA-256 of its manifest: {summary.closed}." if summary.closed else ""
    return element("footer", element("p", f"podjoule {VERSION}. {covers}{closed}"))

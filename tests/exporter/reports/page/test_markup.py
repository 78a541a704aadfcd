"""Nothing that is called something can break out of its place."""

from __future__ import annotations

from html import unescape
from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from exporter.reports.page.markup import Markup, element, text


class Read(HTMLParser):
    """What a browser would make of it."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.said = ""
        self.feed(markup)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.said += data


PRINTABLE = st.text().filter(str.isprintable)


@given(PRINTABLE, PRINTABLE)
def test_any_text_stays_text_and_any_attribute_an_attribute(inside: str, title: str) -> None:
    found = Read(element("b", inside, title=title))
    assert found.tags == ["b"]
    assert found.attributes == [("title", title)]
    assert found.said == inside


def test_what_a_terminal_or_a_browser_would_obey_is_not_shown() -> None:
    assert text("a\x1b[31m\u202eb") == "a?[31m?b"
    assert unescape(text("4\u202fkWh")) == "4\u202fkWh"


def test_markup_is_not_escaped_twice() -> None:
    assert element("p", element("b", "&"), Markup("<br>")) == "<p><b>&amp;</b><br></p>"


def test_attributes_are_spelt_as_html_has_them() -> None:
    made = element("input", class_="a", aria_label="b", hidden=True, disabled=False, value=None, x=1 / 3)
    assert made == '<input class="a" aria-label="b" hidden x="0.333333">'

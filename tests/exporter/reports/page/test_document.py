"""The file: on its own, safe, small, the same for the same figures."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser

from exporter.reports.page import render
from exporter.reports.summary import Group
from tests.exporter.reports.page.example import KWH, amount, example, small

EVIL = "<script>alert(1)</script>"
VOID = {"meta", "input", "br"}


class Page(HTMLParser):
    """Its tags, balanced or not, and what stands in its first two tables."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.inside: dict[str, str] = {}
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open:
            self.inside[self.open[-1]] = self.inside.get(self.open[-1], "") + data


def test_every_tag_that_opens_closes() -> None:
    assert Page(render(example())).open == []


def test_nothing_in_it_can_be_asked_for() -> None:
    page = Page(render(example()))
    assert not {"link", "img", "iframe", "object", "embed", "base", "form", "a"} & set(page.tags)
    assert not {"src", "href", "srcset", "style", "action"} & {name for name, _ in page.attributes}
    assert not re.search(r"https?:|url\((?!#)|@import|fetch\(|XMLHttp", render(example()))


def test_the_policy_lets_its_own_style_and_script_run_and_no_other() -> None:
    page = Page(render(example()))
    policy = next(
        value for name, value in page.attributes if name == "content" and value and "default-src" in value
    )
    assert policy.startswith("default-src 'none'; ")
    for tag in ("style", "script"):
        digest = base64.b64encode(hashlib.sha256(page.inside[tag].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert page.tags.count("script") == page.tags.count("style") == 1


def test_whatever_a_name_is_it_is_shown_as_a_name() -> None:
    one = Group((EVIL, '" onload="x'), amount(KWH), KWH, 0.0)
    page = Page(
        render(
            small(
                title=EVIL,
                clusters=(EVIL,),
                by=("namespace", f"label:{EVIL}"),
                groups=(one,),
                kinds={EVIL: amount(KWH)},
                joules_by_source={f"model:{EVIL}@{EVIL}": KWH},
                currency=EVIL,
                closed=EVIL,
            )
        )
    )
    assert page.tags.count("script") == 1
    assert EVIL in page.inside["h1"]
    assert EVIL in page.inside["th"]
    assert not [name for name, _ in page.attributes if name.startswith("on")]


def test_five_hundred_workloads_are_less_than_a_megabyte() -> None:
    big = example(500)
    size = len(render(big).encode())
    assert len(big.groups) >= 500
    assert size < 350_000  # the limit is 1 MB


def test_names_as_long_as_kubernetes_allows_keep_it_below_a_megabyte_too() -> None:
    big = example(500)
    long = tuple(
        replace(group, key=tuple(part.ljust(253, "x") for part in group.key)) for group in big.groups
    )
    assert len(render(replace(big, groups=long)).encode()) < 1_000_000


def test_the_same_summary_is_the_same_page() -> None:
    assert render(example()) == render(example())


def test_what_there_is_nothing_to_tell_of_is_left_out() -> None:
    text = render(small())
    for heading in (
        "What explains the change",
        "Reserved and not used",
        "Software carbon",
        "Making the hardware",
    ):
        assert heading not in text
        assert heading in render(example())


def test_a_month_of_nothing_is_a_page() -> None:
    nothing = amount(0.0)
    text = render(small(groups=(), kinds={}, total=nothing, nodes=nothing))
    assert Page(text).open == []
    assert "NaN" not in text


def test_a_group_that_is_gone_is_told_and_nothing_is_known_of_it() -> None:
    gone = Group(
        ("old",), replace(amount(0.0), covered_ratio=0.0, grams=None, cost=None), 0.0, 0.0, amount(KWH)
    )
    line = re.search(r"<tr><th[^>]*>old</th>.*?</tr>", render(small(groups=(*small().groups, gone))))
    assert line
    assert "\u2212100.0\u202f%" in line[0]
    assert line[0].endswith(">\u2013</td></tr>")


def test_nobodys_row_names_its_kind_once_and_its_nodes() -> None:
    summary = small(
        by=("node_group", "namespace", "workload"),
        groups=(Group(("gpu", "(idle)", "(idle)"), amount(KWH), 0.0, 0.0),),
    )
    assert '>gpu</th><td class="text">(idle)</td><td class="text"></td>' in render(summary)


def test_every_group_is_a_row_the_largest_first() -> None:
    month = example()
    table = render(month).partition('id="groups"')[2]
    first = [
        float(each)
        for each in re.findall(r'<td data-v="([^"]+)">[^<]*</td><td data-v="[^"]+">[^<]* to ', table)
    ]
    assert len(first) == len(month.groups)
    assert first == sorted(first, reverse=True)

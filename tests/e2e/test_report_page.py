"""The report in a real Chromium, opened as a file: it sorts, finds, prints, and asks nobody."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, expect

from exporter.reports.page import render
from exporter.reports.summary import Group
from tests.e2e.chromium import SIZES, browser
from tests.e2e.picture_report import SCHEMES
from tests.exporter.reports.page.example import KWH, amount, example, small

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

A4_WIDTH = 703  # CSS pixels between margins of 12 mm
KINDS_AND_HEADS = 5 + 2  # rows of the PDF's tables that are no groups


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as launched:
        yield launched


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("report") / "report.html"
    made.write_text(render(example()))
    return made


class Visit:
    """The report, opened; what it logged as an error, and whom it asked."""

    def __init__(self, page: Page, file: Path) -> None:
        self.page = page
        self.errors: list[str] = []
        self.asked: list[str] = []
        page.on("console", lambda said: self.errors.append(said.text))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self.asked.append(request.url))
        page.goto(file.as_uri())

    def column(self, place: int, table: str = "groups") -> list[str]:
        return self.page.locator(f"#{table} tbody tr:visible > :nth-child({place})").all_inner_texts()

    def figures(self, place: int) -> list[float]:
        cells = self.page.locator(f"#groups tbody tr > :nth-child({place})[data-v]")
        return cells.evaluate_all("cells => cells.map(cell => Number(cell.dataset.v))")

    def head(self, name: str) -> Locator:
        return self.page.locator("#groups thead th").filter(has_text=re.compile(f"^{re.escape(name)}"))


Visitor = Callable[..., Visit]


@pytest.fixture
def visit(chromium: Browser, file: Path) -> Iterator[Visitor]:
    """A function that opens the report, in a context of these options."""
    with contextlib.ExitStack() as stack:

        def open_(path: Path = file, **options: object) -> Visit:
            context = chromium.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})  # type: ignore[arg-type]
            stack.callback(context.close)
            return Visit(context.new_page(), path)

        yield open_


def test_it_asks_nobody_and_nothing_goes_wrong(visit: Visitor, file: Path) -> None:
    visited = visit()
    visited.page.locator("#find").fill("shop")
    visited.page.get_by_role("button", name="Share").first.click()
    assert visited.asked == [file.as_uri()]
    assert visited.errors == []


def test_what_would_be_asked_is_forbidden(visit: Visitor, tmp_path: Path) -> None:
    other = tmp_path / "other.js"
    other.write_text("window.ran = true")
    visited = visit()
    load = """source => new Promise(done => {
        const script = document.createElement('script');
        script.onload = () => done('loaded');
        script.onerror = () => done('refused');
        script.src = source;
        document.head.append(script);
    })"""
    assert visited.page.evaluate(load, other.as_uri()) == "refused"
    assert visited.page.evaluate("fetch(location.href).then(() => 'asked', () => 'refused')") == "refused"
    assert any("Content Security Policy" in error for error in visited.errors)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("size", list(SIZES))
def test_it_is_accessible_and_nothing_sticks_out(visit: Visitor, size: str, scheme: str) -> None:
    page = visit(viewport={"width": SIZES[size], "height": 900}, color_scheme=scheme, bypass_csp=True).page
    found = Axe().run(
        page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]}
    )
    assert [(each["id"], each["nodes"][0]["target"]) for each in found.response["violations"]] == []
    assert "color-contrast" in {each["id"] for each in found.response["passes"]}
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_light_and_dark_are_what_the_reader_prefers(visit: Visitor) -> None:
    papers = [
        visit(color_scheme=scheme).page.evaluate("getComputedStyle(document.body).backgroundColor")
        for scheme in SCHEMES
    ]
    assert papers == ["rgb(246, 247, 246)", "rgb(16, 21, 20)"]


def test_a_click_sorts_and_another_turns_it_round(visit: Visitor) -> None:
    visited = visit()
    energy, change = visited.head("Energy, kWh"), visited.head("Change")
    expect(energy).to_have_attribute("aria-sort", "descending")
    change.get_by_role("button").click()
    expect(change).to_have_attribute("aria-sort", "descending")
    expect(visited.page.locator("#groups [aria-sort]")).to_have_count(1)
    found = visited.figures(6)
    assert found == sorted(found, reverse=True)
    unknown = visited.column(6).count("\u2013")
    assert unknown > 0
    assert visited.column(6)[-unknown:] == ["\u2013"] * unknown
    change.get_by_role("button").click()
    expect(change).to_have_attribute("aria-sort", "ascending")
    assert visited.figures(6) == sorted(found)
    assert visited.column(6)[-unknown:] == ["\u2013"] * unknown


def test_the_keyboard_sorts_by_name(visit: Visitor) -> None:
    visited = visit()
    page = visited.page
    page.locator("#find").focus()
    page.keyboard.press("Tab")  # the place that scrolls
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Workload"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    expect(visited.head("Workload")).to_have_attribute("aria-sort", "ascending")
    names = [name for name in visited.column(2) if name]
    assert names == sorted(names, key=str.lower)
    page.keyboard.press("Space")
    expect(visited.head("Workload")).to_have_attribute("aria-sort", "descending")
    assert next(filter(None, visited.column(2))) == "wiki"
    assert page.evaluate("document.activeElement.textContent") == "Workload"


def test_finding_leaves_what_matches_and_says_how_much(visit: Visitor) -> None:
    visited = visit()
    everything = len(example().groups)
    expect(visited.page.locator("#count")).to_have_text(f"{everything} rows")
    visited.page.locator("#find").fill("SHOP web")
    assert visited.column(2) == ["web"]
    expect(visited.page.locator("#count")).to_have_text(f"1 of {everything} rows")
    visited.page.locator("#find").fill("")
    expect(visited.page.locator("#groups tbody tr:visible")).to_have_count(everything)
    expect(visited.page.locator("#count")).to_have_text(f"{everything} rows")


def test_without_scripts_all_of_it_is_there(visit: Visitor) -> None:
    page = visit(java_script_enabled=False).page
    expect(page.locator("#groups tbody tr:visible")).to_have_count(len(example().groups))
    expect(page.locator("svg.days")).to_be_visible()
    expect(page.locator("button, input:visible")).to_have_count(0)
    expect(page.locator(".said")).to_contain_text("prod-eu used 1,653\u202fkWh in October 2026")


def test_whatever_things_are_called_nothing_runs(visit: Visitor, tmp_path: Path) -> None:
    evil = "<script>window.ran = true</script><img src=x onerror='window.ran = true'>"
    one = Group((evil,), amount(KWH), KWH, 0.0)
    path = tmp_path / "evil.html"
    path.write_text(render(small(title=evil, clusters=(evil,), groups=(one,), by=(f"label:{evil}",))))
    visited = visit(path)
    assert visited.page.evaluate("window.ran") is None
    assert visited.page.locator("img").count() == 0
    assert visited.column(1) == [evil]
    assert visited.page.title().startswith(evil)


@pytest.mark.parametrize("size", list(SIZES))
def test_names_as_long_as_kubernetes_allows_stick_out_nowhere(
    visit: Visitor, tmp_path: Path, size: str
) -> None:
    month = example()
    groups = tuple(
        replace(group, key=tuple(part.ljust(253, "w") for part in group.key)) for group in month.groups
    )
    sources = {f"model:{'m' * 120}@{64 * 'a'}": KWH, "measured:rapl": KWH}
    path = tmp_path / "long.html"
    path.write_text(
        render(
            replace(month, title="t" * 200, clusters=("c" * 120,), groups=groups, joules_by_source=sources)
        )
    )
    page = visit(path, viewport={"width": SIZES[size], "height": 900}).page
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_printed_it_has_pages_and_every_row_and_nothing_is_cut(visit: Visitor) -> None:
    page = visit(color_scheme="dark", viewport={"width": A4_WIDTH, "height": 1033}).page
    printed = page.pdf(format="A4", tagged=True, prefer_css_page_size=True)
    assert 3 <= len(re.findall(rb"/Type /Page\b", printed)) <= 8
    assert len(re.findall(rb"/S /TR\b", printed)) == len(example().groups) + KINDS_AND_HEADS
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    rights = page.locator("th, td, dd, svg, .figure").evaluate_all(
        "all => all.map(each => each.getBoundingClientRect().right)"
    )
    assert max(rights) <= A4_WIDTH
    kept = page.locator("svg.days, .entries li, tr").evaluate_all(
        "all => all.every(each => getComputedStyle(each).breakInside === 'avoid')"
    )
    assert kept


def test_five_hundred_workloads_open_and_sort_at_once(
    visit: Visitor, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    path = tmp_path / "big.html"
    path.write_text(render(example(500)))
    record_property("bytes", path.stat().st_size)
    began = time.monotonic()
    page = visit(path).page
    expect(page.locator("#groups tbody tr")).to_have_count(len(example(500).groups))
    record_property("seconds_until_shown", round(time.monotonic() - began, 2))
    milliseconds = page.evaluate(
        """() => {
            const began = performance.now();
            document.querySelector('#groups thead button').click();
            document.body.offsetHeight;
            return performance.now() - began;
        }"""
    )
    record_property("milliseconds_to_sort", round(milliseconds))
    assert milliseconds < 1_000


def test_the_pictures_are_there_and_so_is_their_title() -> None:
    images = Path(__file__).parents[2] / "docs/images"
    assert all((images / f"report-{scheme}.png").stat().st_size > 10_000 for scheme in SCHEMES)
    assert example().title == "An example, made up"

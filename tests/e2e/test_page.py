"""The page in a real Chromium, served by a real exporter: what people see, hear and can do."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from exporter.serving.http.server import Server
from exporter.serving.page.application import Application
from exporter.serving.publisher import Stage
from tests.e2e.chromium import SIZES, browser
from tests.e2e.page_stage import SHOP, stage
from tests.e2e.servers import Podjoule
from tests.exporter.gpu_world import GpuWorld
from tests.exporter.nodes import Node, in_pod

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

INTERVAL_SECONDS = 1.0


@pytest.fixture(scope="module")
def podjoule(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Podjoule]:
    folder = tmp_path_factory.mktemp("page")
    arguments = (
        f"--monitor.interval={INTERVAL_SECONDS:g}s",
        "--cost.price-per-kwh=0.3",
        "--cost.currency=EUR",
    )
    with stage(folder, SHOP, *arguments) as podjoule:
        yield podjoule


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as launched:
        yield launched


class Visit:
    """A page, what it logged as an error, and whom it asked."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.errors: list[str] = []
        self.asked: list[str] = []
        page.on(
            "console",
            lambda said: self.errors.append(said.text) if said.type in ("error", "warning") else None,
        )
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self.asked.append(request.url))

    def open(self) -> Visit:
        self.page.goto(self.url)
        expect(self.page.locator("#table tbody tr th").first).to_be_visible()
        return self

    def names(self) -> list[str]:
        return self.page.locator("#table tbody tr:not(.child) .name").all_text_contents()

    def watts(self) -> float:
        """Once two ticks are told: a dash until then."""
        shown = self.page.locator("#watts")
        expect(shown).to_have_text(re.compile(r"[0-9]"))
        return float(shown.inner_text())


Visitor = Callable[..., Visit]


@pytest.fixture
def visit(chromium: Browser, podjoule: Podjoule) -> Iterator[Visitor]:
    """A function that opens the page, in a context of these options."""
    with contextlib.ExitStack() as stack:

        def open_(url: str = podjoule.url, **options: object) -> Visit:
            context = chromium.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})  # type: ignore[arg-type]
            stack.callback(context.close)
            return Visit(context.new_page(), url)

        yield open_


def wait_until(true: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it does not become true"
        time.sleep(0.1)


def test_it_shows_the_node_and_its_pods_and_asks_nobody_else(visit: Visitor) -> None:
    visited = visit().open()
    expect(visited.page.locator("#badge")).to_have_text("measured")
    wait_until(lambda: {load.name for load in SHOP} <= set(visited.names()))
    assert visited.watts() > 20
    expect(visited.page.locator("#verdict")).to_have_text("Everything works")
    time.sleep(3 * INTERVAL_SECONDS)
    assert visited.errors == []
    assert not [url for url in visited.asked if not url.startswith(visited.url)]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", list(SIZES))
def test_it_is_accessible_and_nothing_sticks_out(visit: Visitor, size: str, scheme: str) -> None:
    visited = visit(viewport={"width": SIZES[size], "height": 900}, color_scheme=scheme).open()
    page = visited.page
    wait_until(lambda: "web-7d4b9c6f5-x2k8p" in visited.names())
    page.get_by_role("button", name="What runs in web-7d4b9c6f5-x2k8p").click()
    page.get_by_text("The hour as a table").click()
    expect(page.locator("tr.child")).to_have_count(2)
    found = Axe().run(
        page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]}
    )
    assert [(each["id"], each["nodes"][0]["target"]) for each in found.response["violations"]] == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_it_goes_on_by_itself(visit: Visitor) -> None:
    visited = visit().open()
    first = visited.page.locator("#health").inner_text()
    wait_until(lambda: visited.page.locator("#health").inner_text() != first, 5 * INTERVAL_SECONDS + 5)
    expect(visited.page.locator("#live")).to_have_attribute("data-state", "live")


def test_the_keyboard_sorts_and_the_head_says_so(visit: Visitor) -> None:
    visited = visit().open()
    page = visited.page
    page.locator("#find").focus()
    for _ in range(10):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "Name":
            break
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    head = page.locator("#table thead th").first
    expect(head).to_have_attribute("aria-sort", "ascending")
    names = visited.names()
    pods = [name for name in names if name in {load.name for load in SHOP}]
    assert pods == sorted(load.name for load in SHOP)
    page.keyboard.press("Enter")
    expect(head).to_have_attribute("aria-sort", "descending")
    time.sleep(2.5 * INTERVAL_SECONDS)
    assert [name for name in visited.names() if name in pods] == pods[::-1]
    assert page.evaluate("document.activeElement.textContent") == "Name"


def test_a_pod_opens_to_its_containers_and_stays_open(visit: Visitor) -> None:
    visited = visit().open()
    wait_until(lambda: "web-7d4b9c6f5-x2k8p" in visited.names())
    opener = visited.page.get_by_role("button", name="What runs in web-7d4b9c6f5-x2k8p")
    opener.press("Enter")
    expect(opener).to_have_attribute("aria-expanded", "true")
    wait_until(lambda: set(visited.page.locator("tr.child .name").all_text_contents()) == {"web", "proxy"})
    time.sleep(2.5 * INTERVAL_SECONDS)
    expect(visited.page.locator("tr.child")).to_have_count(2)
    opener.press("Enter")
    expect(visited.page.locator("tr.child")).to_have_count(0)


def test_finding_narrows_the_table(visit: Visitor) -> None:
    visited = visit().open()
    wait_until(lambda: "postgres-0" in visited.names())
    visited.page.locator("#find").fill("data statefulset")
    wait_until(lambda: sorted(visited.names()) == ["postgres-0", "queue-0"])
    visited.page.locator("#find").fill("no such thing")
    expect(visited.page.locator("#table tbody")).to_have_text("Nothing matches.")


def test_the_chart_reads_point_by_point_without_a_mouse(visit: Visitor) -> None:
    visited = visit().open()
    page = visited.page
    expect(page.locator("#chart svg path.total")).to_have_count(1)
    page.locator("#chart").focus()
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#point")).to_have_text(re.compile(r"^\d\d:\d\d:\d\d: [\d.]+ watts; Idle "))
    expect(page.locator("#readout")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#readout")).to_be_hidden()


def test_while_nobody_looks_it_asks_nothing(visit: Visitor) -> None:
    visited = visit().open()
    visited.page.evaluate(
        "Object.defineProperty(document, 'hidden', { get: () => window.away ?? true });"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )
    time.sleep(1.5)
    before = len(visited.asked)
    time.sleep(3 * INTERVAL_SECONDS)
    assert len(visited.asked) == before
    visited.page.evaluate("window.away = false; document.dispatchEvent(new Event('visibilitychange'))")
    wait_until(lambda: len(visited.asked) > before)


def test_an_exporter_that_goes_away_is_told_and_asked_less_and_less(visit: Visitor) -> None:
    _, server = small_node(3)
    try:
        visited = visit(f"http://{server.bound[0]}").open()
        server.stop()
        banner = visited.page.locator("#banner")
        expect(banner).to_contain_text("podjoule does not answer. Last seen at", timeout=40_000)
        expect(visited.page.locator("#live")).to_have_attribute("data-state", "lost")
        expect(visited.page.locator("#table tbody tr")).to_have_count(3)
    finally:
        server.stop()


def test_without_javascript_there_is_a_table(visit: Visitor) -> None:
    page = visit(java_script_enabled=False).page
    page.goto(visit().url)
    rows = page.locator("noscript table tbody tr, .card table.plain tbody tr")
    assert rows.count() > 0
    expect(page.locator("#table")).to_be_hidden()


def test_it_works_behind_a_prefix(visit: Visitor, chromium: Browser, podjoule: Podjoule) -> None:
    """A reverse proxy that takes the prefix away, as Playwright's routing plays it."""
    context = chromium.new_context()
    page = context.new_page()
    prefix = "http://proxy.example/nodes/node-1/"

    def forward(route: object) -> None:
        url = route.request.url  # type: ignore[attr-defined]
        assert url.startswith(prefix), url
        route.fulfill(response=route.fetch(url=f"{podjoule.url}/{url.removeprefix(prefix)}"))  # type: ignore[attr-defined]

    page.route("**/*", forward)
    page.goto(prefix)
    expect(page.locator("#table tbody tr th").first).to_be_visible()
    context.close()


def small_node(pods: int) -> tuple[Node, Server]:
    """An exporter in this process, of so many pods."""
    node = Node(zones=("package", "dram"))
    for n in range(pods):
        node.source.add(in_pod(n, n))
    advance(node, pods)
    advance(node, pods)
    return node, serve(node)


def serve(node: Node) -> Server:
    """The page of a node in this process."""
    stage = Stage()
    stage.ticker, stage.publisher = node.ticker, node.publisher
    server = Server(["127.0.0.1:0"], Application(stage))
    server.bind()
    server.start()
    return server


def advance(node: Node, pods: int) -> None:
    for n in range(pods):
        node.source.use(in_pod(n, n), 0.001 * (n + 1))
    node.draw(300.0)
    node.tick()


def test_five_hundred_pods_stay_usable(
    visit: Visitor, record_property: Callable[[str, object], None]
) -> None:
    node, server = small_node(500)
    try:
        began = time.monotonic()
        visited = visit(f"http://{server.bound[0]}").open()
        record_property("seconds_until_shown", round(time.monotonic() - began, 2))
        page = visited.page
        expect(page.locator("#table tbody tr")).to_have_count(100)
        expect(page.locator("#count")).to_have_text("500 workloads, the first 100 shown")
        page.get_by_role("button", name="Show all 500").click()
        expect(page.locator("#table tbody tr")).to_have_count(500)
        sort = """() => {
            const began = performance.now();
            document.querySelector('#table thead button').click();
            document.body.offsetHeight;
            return performance.now() - began;
        }"""
        milliseconds = page.evaluate(sort)
        record_property("milliseconds_to_sort_500", round(milliseconds))
        assert milliseconds < 1_000
        advance(node, 500)
        assert visited.errors == []
    finally:
        server.stop()


def test_where_there_is_no_gpu_none_is_spoken_of(visit: Visitor) -> None:
    visited = visit().open()
    expect(visited.page.locator("#zones tbody tr").first).to_be_visible()
    expect(visited.page.locator("#gpus-card")).to_be_hidden()


@pytest.mark.parametrize("size", list(SIZES))
def test_gpus_are_shown_with_who_holds_them(visit: Visitor, size: str) -> None:
    world = GpuWorld()
    world.node.tick()
    world.tick()
    server = serve(world.node)
    try:
        visited = visit(f"http://{server.bound[0]}", viewport={"width": SIZES[size], "height": 900}).open()
        rows = visited.page.locator("#gpus tbody tr")
        expect(rows).to_have_count(2)
        expect(rows.nth(0)).to_contain_text("0 H100")
        expect(rows.nth(0)).to_contain_text("ml/train-0")
        expect(rows.nth(1)).to_contain_text("ml/hoard-0")
        assert visited.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        found = Axe().run(visited.page, options={"runOnly": ["wcag2a", "wcag2aa", "best-practice"]})
        assert [each["id"] for each in found.response["violations"]] == []
        assert visited.errors == []
    finally:
        server.stop()


def test_the_pictures_are_there() -> None:
    images = Path(__file__).parents[2] / "docs/images"
    assert {f"page-{size}-{scheme}.png" for size in SIZES for scheme in ("light", "dark")} <= {
        file.name for file in images.glob("*.png")
    }

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import pytest
from prometheus_client import exposition

from exporter.metrics import negotiation as module
from exporter.metrics.exposition import Family, Renderer
from exporter.metrics.negotiation import RenderedPage, negotiate
from tests.exporter.reference import reference

FAMILIES = [Family("up", 'Is "it" up?', "gauge", ("zone",), [("package",)], [1.0])]

# prometheus_client before 0.23 knows neither text 1.0.0 nor escaping schemes.
ESCAPES = hasattr(exposition, "CONTENT_TYPE_PLAIN_1_0_0")

PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain"
)
ACCEPTS = [
    None,
    "",
    "*/*",
    "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8",
    PROMETHEUS_3,
    PROMETHEUS_2,
    "application/openmetrics-text",
    "application/openmetrics-text; version=0.0.1",
    "application/openmetrics-text; version=1.0.0; escaping=values",
    "application/openmetrics-text; version=1.0.0; escaping=nonsense",
    "text/plain",
    "text/plain; version=0.0.4",
    "text/plain; version=1.0.0",
    " text/plain ; version=1.0.0 ; escaping=allow-utf-8",
]


@pytest.fixture
def page() -> RenderedPage:
    return RenderedPage(partial(Renderer().render, FAMILIES))


@pytest.mark.skipif(not ESCAPES, reason="needs prometheus_client >= 0.23")
@pytest.mark.parametrize("accept", ACCEPTS)
def test_the_content_type_is_the_one_of_prometheus_client(accept: str | None) -> None:
    form = negotiate(accept, None)
    _, content_type = exposition.choose_encoder(accept)
    assert form.content_type == content_type
    assert form.openmetrics == content_type.startswith("application/openmetrics-text")


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("text/plain;version=1.0.0;escaping=dots", module.TEXT_1_0_CONTENT_TYPE + "; escaping=underscores"),
        (
            "application/openmetrics-text;version=2.0.0",
            module.OPENMETRICS_CONTENT_TYPE + "; escaping=underscores",
        ),
        ("application/openmetrics-text;version=x.y, text/plain;version=²", module.TEXT_CONTENT_TYPE),
    ],
)
def test_what_we_cannot_write_is_not_claimed(accept: str, content_type: str) -> None:
    assert negotiate(accept, None).content_type == content_type


OPENMETRICS, TEXT = module.OPENMETRICS_CONTENT_TYPE, module.TEXT_CONTENT_TYPE


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("application/openmetrics-text;version=1.0.0;q=0,text/plain;version=0.0.4", TEXT),
        ("application/openmetrics-text;q=0.1,text/plain;version=0.0.4;q=0.9", TEXT),
        ("text/plain;q=0.1, application/openmetrics-text;q=0.9", OPENMETRICS),
        (
            "text/plain;version=0.0.4;q=0.6,"
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,*/*;q=0.2",
            TEXT,
        ),
        ("application/openmetrics-text;q=0.0, text/plain;q=0.", TEXT),
        ("application/openmetrics-text;q=nonsense", OPENMETRICS),
        ("application/openmetrics-text; Q=0", TEXT),
        ("Application/OpenMetrics-Text", OPENMETRICS),
        (
            'Application/OpenMetrics-Text; Version="1.0.0"; Escaping=values',
            OPENMETRICS + "; escaping=values",
        ),
        ("text/plain;q=2", TEXT),
    ],
)
def test_what_is_preferred_is_sent_and_what_is_refused_is_not(accept: str, content_type: str) -> None:
    """Where prometheus_client takes the first that it knows, whatever its q."""
    assert negotiate(accept, None).content_type == content_type


@pytest.mark.parametrize(
    ("accept_encoding", "expected"),
    [
        (None, False),
        ("", False),
        ("br", False),
        ("gzip", True),
        ("br, GZIP;q=0.5", True),
        ("gzip; q=0.0", False),
        ("gzip;q=0.", False),
        ("gzip;q=0.0000", False),
        ("gzip;q=0", False),
        ("zstd, gzip", True),
        (" gzip ", True),
        ("identity;q=0, gzip", True),
        ("identity, gzip", True),
        ("gzip;q=0.5, identity;q=1", False),
        ("br;q=1.0, gzip;q=0.8, *;q=0.1", True),
        ("*", False),
        ("identity, *;q=0", False),
    ],
)
def test_gzip_is_sent_to_those_who_take_it(accept_encoding: str | None, expected: bool) -> None:
    assert negotiate(None, accept_encoding).gzip is expected


def test_every_form_holds_the_same_page(page: RenderedPage) -> None:
    assert page.body() == gzip.decompress(page.body(gzip=True)) == reference(FAMILIES)
    compressed = page.body(openmetrics=True, gzip=True)
    assert page.body(openmetrics=True) == gzip.decompress(compressed) == reference(FAMILIES, openmetrics=True)


def test_a_page_is_rendered_when_it_is_asked_for_and_once() -> None:
    rendered: list[bool] = []

    def render(openmetrics: bool) -> bytes:
        rendered.append(openmetrics)
        return Renderer().render(FAMILIES, openmetrics)

    page = RenderedPage(render)
    form = negotiate(None, None)
    assert not page.has(form)
    assert rendered == []
    assert page.body() == page.body() == reference(FAMILIES)
    assert page.body(openmetrics=True, gzip=True)
    assert page.has(form)
    assert rendered == [False, True]


class _Watched(bytes):
    """A body that says when it is gone."""

    gone = 0

    def __del__(self) -> None:
        type(self).gone += 1


@pytest.mark.parametrize("openmetrics", [False, True])
def test_a_page_that_is_asked_for_compressed_is_kept_as_that_alone_and_is_the_same_as_text(
    openmetrics: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_Watched, "gone", 0)
    rendered: list[bool] = []

    def render(openmetrics: bool) -> bytes:
        rendered.append(openmetrics)
        return _Watched(Renderer().render(FAMILIES, openmetrics))

    page = RenderedPage(render)
    compressed = page.body(openmetrics, gzip=True)
    assert _Watched.gone == 1
    text = page.body(openmetrics)
    assert text == gzip.decompress(compressed) == reference(FAMILIES, openmetrics)
    assert page.body(openmetrics) is text
    assert page.body(openmetrics, gzip=True) is compressed
    assert rendered == [openmetrics]


def test_pages_may_be_rendered_in_another_order_than_they_came() -> None:
    renderer = Renderer()
    changed = [replace(family, values=[value + 1 for value in family.values]) for family in FAMILIES]
    before, after = (RenderedPage(partial(renderer.render, families)) for families in (FAMILIES, changed))
    assert after.body() == reference(changed)
    assert before.body() == reference(FAMILIES)


def test_a_page_that_cannot_be_rendered_says_so_each_time() -> None:
    page = RenderedPage(partial(Renderer().render, [FAMILIES[0], FAMILIES[0]]))
    for _ in range(2):
        with pytest.raises(ValueError, match="comes twice"):
            page.body()


def test_the_page_stays_what_it_was_when_the_next_tick_is_rendered() -> None:
    renderer = Renderer()
    first = RenderedPage(partial(renderer.render, FAMILIES))
    renderer.render([Family("down", "", "gauge", (), [()], [0.0])])
    assert first.body(openmetrics=True) == reference(FAMILIES, openmetrics=True)


def test_a_form_is_computed_once_however_many_ask_at_once(
    page: RenderedPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    barrier, computed = threading.Barrier(8), []
    compress: Callable[[bytes], bytes] = module.compress
    monkeypatch.setattr(module, "compress", lambda body: computed.append(1) or compress(body))

    def ask(_: int) -> bytes:
        barrier.wait()
        return page.body(gzip=True)

    with ThreadPoolExecutor(8) as pool:
        bodies = list(pool.map(ask, range(8)))
    assert len(computed) == 1
    assert all(body is bodies[0] for body in bodies)

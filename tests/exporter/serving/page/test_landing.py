"""The page without JavaScript: the largest workloads as of the last tick, whatever they are called."""

from __future__ import annotations

import re

from exporter.serving.page.landing import landing
from exporter.serving.page.responses import Response
from exporter.serving.page.ui_files import UiFiles
from exporter.serving.publisher import TickPage
from tests.exporter.nodes import Node, in_pod


def shown(node: Node) -> str:
    page = node.publisher.page
    response: Response = landing(
        UiFiles().text("index.html"), page.view if isinstance(page, TickPage) else None
    )
    return response.body.decode()


def test_before_the_first_tick_it_says_so() -> None:
    assert "The first measurement is not done yet." in shown(Node())


def test_the_largest_come_first_and_not_all() -> None:
    node = Node()
    for n in range(30):
        node.source.add(in_pod(n, n))
    node.tick()
    for n in range(30):
        node.source.use(in_pod(n, n), 0.01 * (n + 1))
    node.draw(100.0)
    node.tick()
    pods = re.findall(r'<th scope="row">([0-9a-f]{8})-', shown(node))
    assert pods == [f"{n:08x}" for n in range(29, 9, -1)]
    assert "20.00 W (measured)" in shown(node)


def test_a_name_cannot_be_markup() -> None:
    node = Node()
    evil = "/<img src=x onerror=alert(1)>\x1b\u202e.service"
    node.source.add(evil)
    node.tick()
    node.source.use(evil, 1.0)
    node.tick()
    text = shown(node)
    assert "<img src=x" not in text
    assert "&lt;img src=x onerror=alert(1)&gt;??.service" in text


def test_the_page_has_no_placeholder_left() -> None:
    node = Node()
    node.tick()
    assert "<!--" not in shown(node)

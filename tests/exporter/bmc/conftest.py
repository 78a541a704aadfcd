"""A Redfish service, the file that names it, and a meter of it with a clock that the test moves."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from exporter.bmc.meter import RedfishMeter
from tests.exporter.bmc.redfish_server import PASSWORD, USER, RedfishServer, serving_redfish
from tests.exporter.bmc.vendors import VENDORS, Shape
from tests.exporter.names.kube.kube_server import write_ca


class Board:
    """The service behind a file. seconds: what the meter's clock shows."""

    def __init__(self, folder: Path, server: RedfishServer, ca: Path) -> None:
        self.server, self.ca, self.file = server, ca, folder / "bmc.yaml"
        self.seconds = 1000.0
        self.write()

    def write(self, password: str = PASSWORD, **more: object) -> None:
        keys = {"endpoint": self.server.url, "username": USER, "password": password, "caFile": str(self.ca)}
        lines = [f'    {key}: "{value}"' if isinstance(value, str) else f"    {key}: {str(value).lower()}"
                 for key, value in {**keys, **more}.items()]  # fmt: skip
        self.file.write_text("\n".join(("nodes:", "  node-1: bmc-1", "bmcs:", "  bmc-1:", *lines, "")))

    def meter(self, period_seconds: float = 10.0) -> RedfishMeter:
        return RedfishMeter(self.file, "node-1", period_seconds, clock=lambda: round(self.seconds * 1e9))

    def run(self, seconds: float, watts: float) -> None:
        """The machine draws so much for so long, which its counter counts."""
        self.seconds += seconds
        self.server.watts = watts
        self.server.kwh += watts * seconds / 3.6e6


@pytest.fixture
def make_board(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> Iterator[Callable[[Shape], Board]]:
    """Whatever a test does, neither a password nor a token is logged."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    caplog.set_level(logging.DEBUG)
    ca, certificate = write_ca(tmp_path)
    with ExitStack() as stack:
        yield lambda shape: Board(tmp_path, stack.enter_context(serving_redfish(shape, certificate)), ca)
    assert "not-for-any-log" not in caplog.text


@pytest.fixture
def board(make_board: Callable[[Shape], Board]) -> Board:
    """Dell's."""
    return make_board(VENDORS["dell"])

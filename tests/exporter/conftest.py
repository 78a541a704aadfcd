"""What several tests of the exporter start from."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.exporter.names.kube.kube_plant import Plant


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """A handler of ours would write to a stream that is closed after the test."""
    root = logging.getLogger()
    level = root.level
    yield
    root.handlers[:] = [
        found for found in root.handlers if type(found).__module__ != "exporter.configuration.logs"
    ]
    root.setLevel(level)


@pytest.fixture
def handlers() -> Iterator[None]:
    """The signals' handlers are afterwards as they were before."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.fixture
def plant(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[Plant]:
    """Whatever a test does, no part of a token is logged."""
    caplog.set_level(logging.DEBUG)
    made = Plant(tmp_path)
    try:
        yield made
    finally:
        made.close()
    assert "not-for-any-log" not in caplog.text

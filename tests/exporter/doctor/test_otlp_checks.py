"""What the doctor says of the endpoint that counters are pushed to."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from exporter.configuration.config import Config
from exporter.configuration.otlp_options import Otlp
from exporter.doctor.finding import Check
from exporter.doctor.otlp_checks import check_otlp
from tests.exporter.otlp.receiver import receiving


def checked(endpoint: str, **options: Path) -> Check:
    return check_otlp(Config(otlp=Otlp(endpoint, interval_seconds=1.0, **options)))


def test_an_endpoint_that_takes_a_push_is_well() -> None:
    with receiving() as receiver:
        check = checked(receiver.url)
        assert (check.status, check.found) == ("ok", f"{receiver.url} takes pushes")
        assert [len(push.resource_metrics) for push in receiver.pushes] == [0]


def test_one_that_refuses_is_told_with_its_reason() -> None:
    with receiving() as receiver:
        receiver.status = 401
        check = checked(receiver.url)
        assert (check.status, check.required) == ("warn", False)
        assert "401 Unauthorized; look at otlp.headersFile" in check.found


def test_where_nobody_listens_the_mend_is_the_address() -> None:
    assert "correct otlp.endpoint" in checked("http://127.0.0.1:9").mend


def test_a_file_of_headers_that_is_none_is_told(tmp_path: Path) -> None:
    check = checked("http://127.0.0.1:9", headers_file=tmp_path / "none")
    assert (check.status, check.mend) == ("warn", "correct otlp.headersFile")


def test_without_the_package_podjoule_cannot_run(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith(("opentelemetry", "exporter.otlp.sending"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    check = checked("http://127.0.0.1:9")
    assert (check.status, check.required) == ("fail", True)
    assert "pip install 'podjoule[otlp]'" in check.found

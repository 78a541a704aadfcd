"""A module that others import and do not call is not loaded, and is itself as soon as it is called."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import pytest

from exporter.late_modules import late

NAME = "large_and_rarely_called"


@pytest.fixture(autouse=True)
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / f"{NAME}.py").write_text("def double(n):\n    return 2 * n\n\nWEIGHT = 7\n")
    (tmp_path / "library.py").write_text(f"from {NAME} import double\n\ndef use(n):\n    return double(n)\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in (NAME, "library"):
        monkeypatch.delitem(sys.modules, name, raising=False)


def test_it_is_loaded_when_it_is_called() -> None:
    with late(NAME, "double"):
        library = import_module("library")
    assert NAME not in sys.modules
    assert library.use(21) == 42
    assert sys.modules[NAME].WEIGHT == 7


def test_whoever_imports_it_afterwards_has_all_of_it() -> None:
    with late(NAME, "double"):
        import_module("library")
    assert import_module(NAME).WEIGHT == 7


def test_whoever_wants_more_of_it_meanwhile_has_that() -> None:
    with late(NAME, "double"):
        assert import_module(NAME).WEIGHT == 7
        assert sys.modules[NAME] is import_module(NAME)
    assert sys.modules[NAME].WEIGHT == 7


def test_what_is_loaded_stays() -> None:
    loaded = import_module(NAME)
    with late(NAME, "double"):
        assert import_module(NAME) is loaded
    assert import_module(NAME) is loaded


def test_one_of_a_package_is_had_through_it_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "package/__init__.py").touch()
    (tmp_path / "package/large.py").write_text("WEIGHT = 7\n")
    for name in ("package", "package.large"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    with late("package.large", "double"):
        package = import_module("package")
        assert "WEIGHT" not in vars(package.large), "it is loaded before anybody wants it"
        assert package.large.WEIGHT == 7
    assert package.large is sys.modules["package.large"]
    assert package.large.WEIGHT == 7
    with late("package.large", "double"):
        assert package.large is sys.modules["package.large"]


def test_nothing_stays_of_it_in_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "package/__init__.py").touch()
    monkeypatch.delitem(sys.modules, "package", raising=False)
    with late("package.large", "double"):
        pass
    assert "large" not in vars(import_module("package"))

"""A machine with GPUs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.estimator.gpu.plant import Plant, load_library


@pytest.fixture
def plant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plant:
    """No GPU yet."""
    load_library()
    made = Plant(tmp_path / "plant")
    monkeypatch.setenv("NVML_PLANT", str(made.path))
    return made

"""Opening the meters of GPUs: who has none pays nothing, who has some is told what lacks."""

from __future__ import annotations

import importlib.util
import logging
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ebpf.errors import SourceUnavailable
from estimator.errors import MeterAbsent, MeterUnavailable
from estimator.machine.identity import CpuIdentity, read_identity
from exporter.configuration.config import Config
from exporter.tick import gpu_watch
from exporter.tick.gpu_meters import open_amdsmi, open_nvml
from exporter.tick.meters import OPENERS

ROOT = Path(__file__).parents[3]
IDENTITY: CpuIdentity = read_identity(Path("/nonexistent"))
NEVER = (
    "pynvml",
    "amdsmi",
    "estimator.gpu.nvml",
    "estimator.gpu.meter",
    "ebpf.pids",
    "exporter.tick.gpu_watch",
)


def config_of(sysfs: Path, *modules: str) -> Config:
    for module in modules:
        (sysfs / "module" / module).mkdir(parents=True)
    return replace(Config(), host=replace(Config().host, sysfs=sysfs))


@pytest.mark.parametrize("name", ["nvml", "amdsmi"])
def test_a_machine_without_the_drivers_module_has_no_gpu(tmp_path: Path, name: str) -> None:
    with pytest.raises(MeterAbsent, match=r"the kernel module \w+ is not loaded"):
        OPENERS[name](config_of(tmp_path), IDENTITY)


def without(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == package else find(name))


def test_nvidias_gpus_without_the_package_say_which_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without(monkeypatch, "pynvml")
    with pytest.raises(MeterUnavailable, match="install nvidia-ml-py, which is in podjoule's extra `gpu`"):
        open_nvml(config_of(tmp_path, "nvidia"), IDENTITY)


def test_amds_gpus_without_the_package_are_hwmons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "amdsmi")
    with pytest.raises(MeterAbsent, match="AMD SMI is not installed"):
        open_amdsmi(config_of(tmp_path, "amdgpu"), IDENTITY)


def test_where_processes_cannot_be_looked_up_that_is_said_and_energy_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise SourceUnavailable("no rights")

    monkeypatch.setattr(gpu_watch, "open_pids", refuse)
    caplog.set_level(logging.INFO)
    (watch,) = open_nvml(config_of(tmp_path, "nvidia"), IDENTITY)
    assert watch.zones == {"gpu"}
    assert "which process is in which container is not known, on GPUs" in caplog.text
    assert "energy of GPUs is measured: nvml" in caplog.text


def test_who_has_no_gpu_imports_nothing_for_one() -> None:
    code = f"import sys, exporter.commands.run; print(sorted({NEVER!r} & sys.modules.keys()))"
    code = code.replace(repr(NEVER), repr(set(NEVER)))
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"

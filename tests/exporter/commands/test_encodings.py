"""Every command prints into any encoding: what that lacks is escaped, never a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
RECORDING = ROOT / "tests/data/recording"
SAMPLES = ("--input", str(RECORDING))
COMMANDS = [
    ("--help",),
    ("run", "--help"),
    ("doctor",),
    ("models", "list"),
    ("models", "show", "bare-metal-counters"),
    ("models", "estimate", "--cpu", "Intel® Xeon® Π"),
    ("models", "verify", "modèle.json"),
    ("config", "check", "--config.file", "größe.yaml"),
    ("evaluate", "bare-metal-cpu-time", *SAMPLES),
    ("train", *SAMPLES, "--node", "größe", "--output", "m.json"),
    ("replay", str(RECORDING)),
    ("snapshot", "--duration", "1s", "--ebpf.loader", "none", "--kube.node-name", "größe"),
    ("snapshot", "--duration", "1s", "--ebpf.loader", "none", "--format", "json"),
    ("top", "--plain", "--count", "1", "--interval", "1s", "--ebpf.loader", "none"),
]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_command_prints_into_any_encoding(command: tuple[str, ...], encoding: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "exporter.commands.cli", *command],
        cwd=tmp_path,
        env={**os.environ, "PYTHONIOENCODING": encoding, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        timeout=60,
    )
    assert b"Traceback" not in done.stderr, done.stderr.decode(encoding)
    assert done.stdout or done.stderr
    assert (done.stdout + done.stderr).decode(encoding).encode(encoding)

"""The README's commands on a Debian 12 that has nothing but make: set up, serving, complete; and by pipx."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.servers import free_port, wait_for
from tests.programs import program

pytestmark = [pytest.mark.fresh, pytest.mark.timeout(2 * 900)]

ROOT = Path(__file__).resolve().parents[2]
KIT = Path(__file__).with_name("kit")
SET_UP_SECONDS = 900.0  # some two minutes where the machine is idle and the packages are near
NEEDED = ("mmdebstrap", "git", "unshare", "nsenter", "tar")


@dataclass(frozen=True)
class Machine:
    """The machine in memory. pid: of the process that holds it, which has its environment."""

    pid: int
    nsenter: str

    def command(self, script: str) -> list[str]:
        environment = Path(f"/proc/{self.pid}/environ").read_bytes().decode().strip("\0").split("\0")
        enter = [self.nsenter, f"--target={self.pid}", "--mount", "--pid", "--root"]
        return [*enter, "env", "-i", *environment, "bash", "-ec", f"cd /root/podjoule; {script}"]

    def run(self, script: str) -> str:
        done = subprocess.run(self.command(script), capture_output=True, text=True)
        assert done.returncode == 0, f"{script}:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    paths = {name: program(name) for name in NEEDED}
    cache = Path(os.environ.get("FRESH_DIR") or Path.home() / ".cache/podjoule/fresh")
    cache.mkdir(parents=True, exist_ok=True)
    holding = subprocess.Popen(
        [KIT, "hold", cache, ROOT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holding:  # which closes its stdin in the end
        assert holding.stdout is not None
        assert holding.stdout.readline() == "ready\n"
        children = Path(f"/proc/{holding.pid}/task/{holding.pid}/children").read_text().split()
        yield Machine(int(children[0]), paths["nsenter"])


def test_make_run_sets_up_and_serves(machine: Machine, tmp_path: Path) -> None:
    port, log = free_port(), tmp_path / "run.log"
    script = f"exec make run ARGS=--web.listen-address=127.0.0.1:{port}"
    with log.open("w") as output:
        running = subprocess.Popen(
            machine.command(script), stdout=output, stderr=output, start_new_session=True
        )
    try:
        url = f"http://127.0.0.1:{port}/metrics"
        page = wait_for(url, SET_UP_SECONDS, alive=lambda: running.poll() is None)
    finally:
        os.killpg(running.pid, signal.SIGINT)  # as Ctrl-C does
        running.wait(timeout=60)
    assert "podjoule_build_info" in page, log.read_text()
    assert "Traceback" not in log.read_text()


def test_make_test_sets_up_whatever_it_starts(machine: Machine) -> None:
    machine.run("make set-up")
    assert machine.run(".venv/bin/python -m tests.programs") == ""
    assert " tests collected" in machine.run(".venv/bin/pytest -q --collect-only")


def test_pipx_installs_the_wheel_for_somebody_without_rights(machine: Machine) -> None:
    machine.run("make wheel")
    machine.run(
        "apt-get update -qq; apt-get install -y -qq --no-install-recommends pipx python3-venv libbpf1"
    )
    machine.run("useradd --create-home ann; cp dist/podjoule-*.whl /home/ann")
    # Compiled nowhere else: the wheel has the kernel programs in it, and Debian's Python fetches the rest.
    machine.run(as_ann("pipx install /home/ann/podjoule-*.whl"))
    own = "/home/ann/.local/bin/podjoule"
    without = machine.run(as_ann(f"{own} top --plain --interval=1s"))
    (missing,) = [line for line in without.splitlines() if line.startswith("missing: ")]
    assert f"(sudo {own} top has them)" in missing
    assert "NAME" in without
    assert "\nbash" in machine.run(as_ann(f"{own} top --plain --interval=2s --by=process", busy=True))
    with_root = machine.run(f"{own} top --plain --interval=1s")
    assert "BPF" not in with_root, with_root
    assert "NAME" in with_root


def as_ann(command: str, *, busy: bool = False) -> str:
    """The command as a user of her own, with something of hers running beside it if asked for."""
    beside = "bash -c 'while :; do :; done' & trap 'kill %1' EXIT; " if busy else ""
    keep = "HOME=/home/ann PATH=/usr/bin:/bin"
    return f"cd /home/ann; {beside}runuser -u ann -- env {keep} sh -c '{command}'"

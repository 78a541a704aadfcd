"""The released image on a machine of ./kit: its own Python, libraries and kernel programs."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.e2e.servers import free_port, get, wait_for
from tests.vm.leftovers import programs
from tests.vm.probe_exporter import INTERVAL_SECONDS

ROOT = Path("/image")
_FROM_OUTSIDE = ("proc", "sys", "dev")
_COMMAND = ("/bin/busybox", "chroot", str(ROOT), "/opt/podjoule/bin/podjoule")
_SLOW_SECONDS = 240  # emulated, on a busy machine


@contextlib.contextmanager
def mounted() -> Iterator[None]:
    """What a runtime gives to every container, until the block's end."""
    for name in _FROM_OUTSIDE:
        subprocess.run(["/bin/busybox", "mount", "-o", "rbind", f"/{name}", ROOT / name], check=True)
    try:
        yield
    finally:
        for name in reversed(_FROM_OUTSIDE):
            subprocess.run(["/bin/busybox", "umount", "-l", ROOT / name], check=True)


def image() -> dict[str, object]:
    """Which version it says it is; and `run`: its programs are in the kernel, it answers, SIGTERM ends it."""
    with mounted(), tempfile.TemporaryDirectory() as folder:
        told = subprocess.run([*_COMMAND, "--version"], capture_output=True, text=True, env={}, check=False)
        return {"version": told.stdout.strip(), "said": told.stderr, **_run(Path(folder) / "log")}


def _run(log: Path) -> dict[str, object]:
    address = f"127.0.0.1:{free_port()}"
    options = (f"--web.listen-address={address}", f"--monitor.interval={INTERVAL_SECONDS}s")
    with log.open("wb") as output:
        running = subprocess.Popen(
            [*_COMMAND, "run", *options, "--kube.enabled=false"], stdout=output, stderr=output, env={}
        )
    try:
        wait_for(f"http://{address}/-/ready", _SLOW_SECONDS, lambda: running.poll() is None)
        page, at_work = get(f"http://{address}/metrics", timeout=60)[1], sorted(programs())
    except TimeoutError as error:
        raise TimeoutError(f"the image's podjoule is not ready: {log.read_text()}") from error
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(running.pid, signal.SIGTERM)
        code = running.wait(timeout=60)
    counted = [line for line in page.splitlines() if line.startswith("podjoule_build_info")]
    return {"programs": at_work, "build": counted, "exit_code": code, "log": log.read_text()}

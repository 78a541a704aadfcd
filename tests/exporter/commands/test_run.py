"""`podjoule run` as a process: it starts, serves, rereads its configuration, and ends when it is told to."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ebpf.errors import SourceUnavailable
from exporter.commands import run as module
from exporter.commands.run import run
from exporter.configuration.config import Config
from exporter.configuration.option_tree import Web
from tests.estimator.meters.rapl_tree import RaplTree
from tests.exporter.nodes import Node, of, parse

ROOT = Path(__file__).resolve().parents[3]
SECONDS = 20.0


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A machine of files: two sockets that draw power, and a cgroup v2 tree with a container in it."""
    RaplTree.two_sockets(tmp_path / "sys")
    (tmp_path / "proc").mkdir()
    for path in ("", "docker", f"docker/{1:064x}"):
        cgroup = tmp_path / "cgroup" / path
        cgroup.mkdir()
        (cgroup / "cpu.stat").write_text("usage_usec 1000\n")
    (tmp_path / "cgroup/cgroup.controllers").touch()
    (tmp_path / "podjoule.yaml").write_text("monitor:\n  interval: 100ms\n")
    return tmp_path


@dataclass
class Running:
    process: subprocess.Popen[bytes]
    log: Path
    config: Path

    @property
    def url(self) -> str:
        self.wait_for("serving on ")
        return "http://" + self.log.read_text().partition("serving on ")[2].split()[0]

    def get(self, path: str = "/metrics") -> str:
        with urllib.request.urlopen(self.url + path, timeout=5) as answer:
            return str(answer.read().decode())

    def wait_for(self, words: str) -> None:
        self.until(lambda: words in self.log.read_text(), f"{words!r} in the log")

    def until(self, true: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + SECONDS
        while not true():
            assert self.process.poll() is None, f"it has ended: {self.log.read_text()}"
            assert time.monotonic() < deadline, f"no {what} within {SECONDS} s: {self.log.read_text()}"
            time.sleep(0.02)

    def ready(self) -> None:
        def answers() -> bool:
            with contextlib.suppress(OSError):
                return self.get("/-/ready") == "ready\n"
            return False

        self.until(answers, "answer")

    def ticks(self) -> float:
        return of(parse(self.get()), "podjoule_ticks_total")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, float]:
        """The exit code, and how long it took."""
        began = time.monotonic()
        self.process.send_signal(number)
        return self.process.wait(timeout=SECONDS), time.monotonic() - began


@pytest.fixture
def start(host: Path) -> Iterator[Callable[..., Running]]:
    """Starts it without BPF, on files alone, unless it is told otherwise; kills what is left."""
    processes = []

    def run_it(*arguments: str, before: tuple[str, ...] = (), loader: str = "none") -> Running:
        log = host / "log"
        command = [
            *(
                *before,
                sys.executable,
                "-m",
                "exporter.commands.cli",
                "run",
                "--web.listen-address=127.0.0.1:0",
            ),
            *(f"--host.{name}={host / folder}" for name, folder in HOST.items()),
            *(f"--config.file={host / 'podjoule.yaml'}", f"--ebpf.loader={loader}", *arguments),
        ]
        with log.open("wb") as stderr:
            process = subprocess.Popen(command, cwd=ROOT, stdout=stderr, stderr=stderr)
        processes.append(process)
        return Running(process, log, host / "podjoule.yaml")

    yield run_it
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.wait()


HOST = {"sysfs": "sys", "procfs": "proc", "cgroupfs": "cgroup"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("interval", ["100ms", "1h"])
def test_it_serves_and_ends_with_0_within_two_seconds(
    start: Callable[..., Running], number: signal.Signals, interval: str
) -> None:
    running = start(f"--monitor.interval={interval}")
    running.ready()
    assert of(parse(running.get()), "kepler_container_cpu_seconds_total", container_id=f"{1:064x}") == 0
    code, seconds = running.stop(number)
    assert (code, seconds < 2.0) == (0, True)
    assert "Traceback" not in running.log.read_text()


def test_it_ends_in_time_while_a_client_says_nothing(start: Callable[..., Running]) -> None:
    running = start()
    running.ready()
    host, port = running.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as silent:
        silent.sendall(b"GET /metrics HTTP/1.1\r\n")
        code, seconds = running.stop()
    assert (code, seconds < 2.0) == (0, True)


def test_sighup_takes_over_a_changed_interval_at_once(start: Callable[..., Running]) -> None:
    running = start()
    running.config.write_text("monitor:\n  interval: 1h\n")
    running.ready()
    running.process.send_signal(signal.SIGHUP)
    running.wait_for("configuration reread")
    before = running.ticks()
    time.sleep(0.5)
    assert running.ticks() <= before + 1
    running.config.write_text("monitor:\n  interval: 100ms\n")
    running.process.send_signal(signal.SIGHUP)
    running.until(lambda: running.ticks() > before + 3, "more ticks")
    assert running.stop()[0] == 0


def test_sighup_with_a_broken_file_keeps_the_old_one(start: Callable[..., Running]) -> None:
    running = start()
    running.ready()
    for broken, words in (
        ("monitor:\n  interwal: 1s\n", "podjoule.yaml:2: unknown key monitor.interwal"),
        ("[" * 5_000, "the old one stays"),
        ("\0", "not valid YAML"),
    ):
        running.config.write_text(broken)
        running.process.send_signal(signal.SIGHUP)
        running.wait_for(words)
        before = running.ticks()
        running.until(lambda before=before: running.ticks() > before, "tick")  # type: ignore[misc]
    running.config.unlink()
    running.process.send_signal(signal.SIGHUP)
    running.wait_for("cannot be read")
    assert running.stop()[0] == 0


def test_without_rights_for_bpf_it_counts_cpu_time(
    start: Callable[..., Running], require_command: Callable[[str], str]
) -> None:
    drop = (require_command("setpriv"), "--inh-caps=-all", "--bounding-set=-all") if os.geteuid() == 0 else ()
    running = start(loader="auto", before=drop)
    running.ready()
    samples = parse(running.get())
    assert of(samples, "podjoule_usage_source_info", source="cpu.stat", available="cpu_ns") == 1
    assert "trying the next source" in running.log.read_text()
    assert running.stop()[0] == 0


def test_a_port_that_is_taken_is_wrong_usage(start: Callable[..., Running]) -> None:
    first = start()
    address = first.url.removeprefix("http://")
    second = start(f"--web.listen-address={address}")
    assert second.process.wait(timeout=SECONDS) == 2
    assert f"cannot listen on '{address}'" in second.log.read_text()


ON_LOOPBACK = Config(web=Web(("127.0.0.1:0",)))


def test_a_signal_while_it_starts_ends_it_cleanly(handlers: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def assemble(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(1.0)

    monkeypatch.setattr(module, "assemble", assemble)
    with pytest.raises(SystemExit) as ended:
        run(ON_LOOPBACK, lambda: ON_LOOPBACK)
    assert ended.value.code == 0


def test_what_cannot_be_counted_ends_it_and_the_server(
    handlers: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def assemble(*_: object) -> None:
        raise SourceUnavailable("no cgroup hierarchy")

    monkeypatch.setattr(module, "assemble", assemble)
    with pytest.raises(SourceUnavailable):
        run(ON_LOOPBACK, lambda: ON_LOOPBACK)


def test_everything_is_let_go_of(handlers: None, monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node()
    advance = node.measurement.advance

    def once() -> object:
        os.kill(os.getpid(), signal.SIGTERM)
        return advance()

    monkeypatch.setattr(node.measurement, "advance", once)
    monkeypatch.setattr(module, "assemble", lambda *_, **__: node.measurement)
    assert run(ON_LOOPBACK, lambda: ON_LOOPBACK) == 0
    assert node.source.closed

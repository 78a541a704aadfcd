"""`podjoule top` in a real terminal, over a running exporter and over a measurement of its own.

The loads and the counting are real; the meter is a test's own (page_stage).
"""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.page_stage import Load, stage
from tests.e2e.servers import ROOT, Podjoule
from tests.e2e.tmux import PROMPT, Tmux, terminal

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("require_root_bpf")]

LOADS = (
    Load("web-7d4b9c6f5-x2k8p", "shop", "ReplicaSet", "web-7d4b9c6f5", 0.12, 0.02),
    Load("search-0", "shop", "StatefulSet", "search", 0.06),
    Load("postgres-0", "data", "StatefulSet", "postgres", 0.03),
)
CONFIGURED = (
    "--monitor.interval=1s",
    "--kube.node-name=node-1",
    "--carbon.intensity=344",
    "--cost.price-per-kwh=0.31",
    "--cost.currency=EUR",
    "--metrics.level=node,pod,container,process",
)
OURS = "^(shop|data)$|^(web|search|postgres)-"
TOP = f"{sys.executable} -m exporter.commands.cli top"
GIVEN_BACK = ("0", "1", "1")
TAKEN = ("1", "0", "0")
COLOUR = re.compile(r"\x1b\[(?:[0-9;]*;)?(?:3[0-8]|4[0-8]|9[0-7]|10[0-7])(?:;[0-9;]*)?m")
BROKEN = """
import sys
import exporter.commands.cli as cli
import exporter.top.{module} as module

def boom(*_):
    raise RuntimeError("boom")

module.{name} = boom
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("top")


@pytest.fixture(scope="module")
def exporter(folder: Path) -> Iterator[Podjoule]:
    with stage(folder, LOADS, *CONFIGURED) as podjoule:
        deadline = time.monotonic() + 60
        while not re.search('kepler_pod_cpu_joules.*pod_name="web-7d4b9c6f5-x2k8p"', podjoule.metrics()):
            assert time.monotonic() < deadline, podjoule.log.read_text()
            time.sleep(0.2)
        yield podjoule


@pytest.fixture
def screen(require_command: Callable[[str], str], tmp_path: Path) -> Iterator[Tmux]:
    require_command("tmux")
    with terminal(tmp_path) as tmux:
        yield tmux


def start(screen: Tmux, exporter: Podjoule, *flags: str) -> list[str]:
    """Others may run pods on this machine: only the rows of ours, which are few enough for any screen."""
    screen.shell(" ".join([TOP, f"--url={exporter.url}", "--interval=500ms", f"--filter='{OURS}'", *flags]))
    return screen.wait(r"^web-7d4b9c6f5-x2k8p ", lambda _: screen.state() == TAKEN)


def names(screen: list[str]) -> list[str]:
    """What stands under NAME."""
    (head,) = [i for i, line in enumerate(screen) if line.startswith("NAME")]
    return [line.split("  ")[0].strip() for line in screen[head + 1 :] if line[:1].strip()][:-1]


def leave(screen: Tmux) -> None:
    screen.keys("q")
    screen.wait(PROMPT, lambda _: screen.state() == GIVEN_BACK)


def settings(screen: Tmux, mark: str) -> str:
    """The terminal's modes, as stty tells them."""
    screen.shell(f"clear; stty -a; echo {mark}-''done")
    return "\n".join(screen.wait(f"^{mark}-done")).partition(f"{mark}-done")[0]


def test_it_starts_in_80_columns_with_all_that_was_asked_for(screen: Tmux, exporter: Podjoule) -> None:
    start(screen, exporter)
    found = screen.wait(r"^NAME .* CPU ")  # how much of a CPU is known from the exporter's second tick on
    assert re.match(r"podjoule top  node-1  measured by rapl  every 1s  last tick ok", found[0])
    assert re.match(r"Node [0-9.]+ W  idle .*W  active [0-9.]+ m?W  nobody's .* CPU [0-9.]+%", found[1])
    assert re.match(r"Zones package [0-9.]+ W \(idle .*\)  dram [0-9.]+ W \(idle ", found[2])
    (head,) = [line for line in found if line.startswith("NAME")]
    assert head.split() == ["NAME", "KIND", "WATTS", "SHARE", "JOULES", "CPU", "CO2E/H"]
    web = next(line for line in found if line.startswith("web-")).split()
    assert web[1:3] == ["pod", web[2]]
    assert float(web[2]) > 0
    assert 0.02 < float(web[7]) < 0.30  # 0.14 CPUs are asked for, and the machine is busy
    assert max(map(len, found)) <= 80
    assert "nan" not in "\n".join(found).lower()
    leave(screen)


def test_it_sorts_by_name_and_the_other_way_round(screen: Tmux, exporter: Podjoule) -> None:
    start(screen, exporter, "--by=pod")
    screen.keys("n")
    found = names(screen.wait("sort name up"))
    assert found == sorted(found, key=str.casefold)
    assert len(found) >= 3
    screen.keys("r")
    found = names(screen.wait("sort name down"))
    assert found == sorted(found, key=str.casefold, reverse=True)
    screen.keys(">")
    screen.wait("sort (in|watts) ")
    leave(screen)


def test_a_filter_leaves_what_it_finds_and_escape_brings_back_the_rest(
    screen: Tmux, exporter: Podjoule
) -> None:
    start(screen, exporter)
    screen.keys("Escape")
    screen.wait("^By all  sort watts down  [0-9]+ rows$")
    screen.keys("/")
    screen.type("^(web|search)-.*")
    found = screen.wait(r"filter \^\(web\|search\)-\.\*  2 of ")
    assert set(names(found)) == {"web-7d4b9c6f5-x2k8p", "search-0"}
    assert found[-1].startswith("/^(web|search)-.*")
    screen.keys("Enter")
    screen.wait("^q quit")
    screen.keys("Escape")
    screen.wait("^By all  sort watts down  [0-9]+ rows$", lambda found: len(names(found)) > 3)
    leave(screen)


def test_it_drills_from_a_namespace_to_a_pod_to_a_container_to_a_process(
    screen: Tmux, exporter: Podjoule
) -> None:
    start(screen, exporter)
    screen.keys("BTab", "BTab", "BTab")
    screen.wait("^By namespace")
    screen.keys("Escape")
    screen.wait("^By namespace  sort watts down  [0-9]+ rows$")
    screen.keys("/")
    screen.type("shop")
    screen.keys("Enter")
    screen.wait("^shop ", lambda found: names(found) == ["shop"])
    screen.keys("Enter")
    screen.wait("in namespace shop", lambda found: set(names(found)) == {"web-7d4b9c6f5-x2k8p", "search-0"})
    screen.keys("n", "r", "Enter")
    screen.wait("in pod web-", lambda found: set(names(found)) == {"web", "proxy"})
    screen.keys("Enter")
    found = screen.wait(
        "^By process .*in container web", lambda found: names(found)[:1] in (["python"], ["python3"])
    )
    (row,) = [line for line in found if line.startswith("python")]
    pid = row.split()[1]
    assert Path(f"/proc/{pid}/comm").read_text().startswith("python")
    screen.keys("Enter")
    screen.wait("nothing smaller than a process")
    screen.keys("u")
    screen.wait("^By container .*in pod web-")
    screen.keys("BSpace", "u")
    screen.wait("^By namespace  sort .* rows$")
    leave(screen)


def test_it_follows_the_terminal_to_any_size_and_back(screen: Tmux, exporter: Podjoule) -> None:
    start(screen, exporter)
    screen.resize(140, 40)
    wide = screen.wait("EUR/H", lambda found: len(found) == 40 and found[-1].startswith("q quit"))
    assert "IPC" in "".join(wide)
    screen.resize(80, 24)
    found = screen.wait("CO2E/H$", lambda found: len(found) == 24 and found[-1].startswith("q quit"))
    assert max(map(len, found)) <= 80
    for columns, lines in ((40, 10), (20, 5), (10, 3), (4, 1)):
        screen.resize(columns, lines)
        screen.wait(".", lambda found, lines=lines: len(found) == lines)
        time.sleep(0.3)
        assert screen.state() == TAKEN
    screen.resize(80, 24)
    screen.wait("^web-7d4b9c6f5-x2k8p +pod ", lambda found: len(found) == 24)
    leave(screen)


def test_paused_nothing_moves_but_the_cursor(screen: Tmux, exporter: Podjoule) -> None:
    start(screen, exporter)
    screen.keys("p")
    before = screen.wait("PAUSED")
    time.sleep(3)
    assert screen.screen() == before
    screen.keys("Down")
    time.sleep(1)
    assert screen.screen() == before
    assert screen.coloured() != ""
    screen.keys("Space")
    screen.wait("^By all", lambda found: "PAUSED" not in "".join(found) and found[1:] != before[1:])
    leave(screen)


def test_help_lies_over_the_rows_and_goes_with_the_next_key(screen: Tmux, exporter: Podjoule) -> None:
    start(screen, exporter)
    screen.keys("?")
    found = screen.wait("^│ JOULES +since")
    assert max(map(len, found)) <= 80
    assert not any(line.endswith("…") for line in found[4:])
    screen.keys("x")
    screen.wait("^web-7d4b9c6f5-x2k8p")
    leave(screen)


@pytest.mark.parametrize("how", ["q", "C-c", "SIGTERM", "SIGHUP"])
def test_the_terminal_is_as_it_was(screen: Tmux, exporter: Podjoule, how: str) -> None:
    before = settings(screen, "before")
    start(screen, exporter)
    if how.startswith("SIG"):
        os.kill(screen.child(), getattr(signal, how))
    else:
        screen.keys(how)
    screen.wait(PROMPT, lambda _: screen.state() == GIVEN_BACK)
    screen.shell("echo code=$?")
    code = {"q": 0, "C-c": 130, "SIGTERM": 143, "SIGHUP": 129}[how]
    screen.wait(f"^code={code}$")
    assert settings(screen, "after") == before


@pytest.mark.parametrize(
    ("module", "name"), [("source_url", "make_frame"), ("app", "make_model")], ids=["source", "view"]
)
def test_an_exception_is_shown_on_the_terminal_as_it_was(
    screen: Tmux, exporter: Podjoule, tmp_path: Path, module: str, name: str
) -> None:
    program = tmp_path / "broken.py"
    program.write_text(BROKEN.format(module=module, name=name))
    before = settings(screen, "before")
    screen.shell(f"clear; PYTHONPATH=. {sys.executable} {program} top --url={exporter.url}; echo code=$?")
    found = screen.wait("^code=1$", lambda _: screen.state() == GIVEN_BACK)
    assert "RuntimeError: boom" in found
    assert settings(screen, "after") == before


def test_stopped_it_leaves_the_terminal_and_comes_back(screen: Tmux, exporter: Podjoule) -> None:
    before = settings(screen, "before")
    start(screen, exporter)
    screen.keys("C-z")
    screen.wait("Stopped", lambda _: screen.state() == GIVEN_BACK)
    assert settings(screen, "after") == before
    screen.shell("fg")
    screen.wait("^web-7d4b9c6f5-x2k8p", lambda _: screen.state() == TAKEN)
    screen.keys("Escape")
    screen.wait("^By all  sort watts down  [0-9]+ rows$")
    screen.keys("/")
    screen.type("web-7d")
    screen.wait("filter web-7d  1 of")
    screen.keys("Enter")
    leave(screen)


def test_colours_by_default_and_none_with_no_color(
    require_command: Callable[[str], str], exporter: Podjoule, tmp_path: Path
) -> None:
    require_command("tmux")
    for environment, coloured in (({}, True), ({"NO_COLOR": "1", "HOME": "/nonexistent"}, False)):
        with terminal(tmp_path, environment=environment) as screen:
            start(screen, exporter)
            assert bool(COLOUR.search(screen.coloured())) == coloured
            assert re.search(
                r"\x1b\[([0-9;]*;)?7m", screen.coloured()
            )  # the cursor's row is seen without colour, too
            leave(screen)


def test_it_is_on_the_terminal_also_where_the_log_goes_to_a_file(
    screen: Tmux, exporter: Podjoule, tmp_path: Path
) -> None:
    start(screen, exporter, "2>", str(tmp_path / "log"))
    leave(screen)
    assert "\x1b" not in (tmp_path / "log").read_text()


def test_it_ends_when_the_terminal_goes_away(
    require_command: Callable[[str], str], exporter: Podjoule, tmp_path: Path
) -> None:
    require_command("tmux")
    with terminal(tmp_path) as screen:
        start(screen, exporter)
        process = os.pidfd_open(screen.child())
    ended, _, _ = select.select([process], [], [], 20)
    os.close(process)
    assert ended


def test_it_ends_though_the_terminal_goes_away_meanwhile(
    require_command: Callable[[str], str], exporter: Podjoule, tmp_path: Path
) -> None:
    """Who is hung up is told to continue, too, which once began it all anew, in one of four or five times."""
    require_command("tmux")
    for _ in range(8):
        with terminal(tmp_path) as screen:
            start(screen, exporter)
            process = os.pidfd_open(screen.child())
            screen.keys("q")
            while screen.state() != GIVEN_BACK:
                pass
        ended, _, _ = select.select([process], [], [], 20)
        os.close(process)
        assert ended


def test_into_a_pipe_goes_one_plain_table(exporter: Podjoule) -> None:
    found = run("--url", exporter.url)
    assert found.returncode == 0
    assert found.stderr == ""
    assert "\x1b" not in found.stdout
    assert found.stdout.count("\nNAME ") == 1
    assert re.search(r"^web-7d4b9c6f5-x2k8p +pod +shop +[0-9.]+ +m?W ", found.stdout, re.MULTILINE)
    found = run("--url", exporter.url, "--count=2", "--interval=1s", "--by=namespace", "--sort=name")
    assert found.stdout.count("\nNAME ") == 2
    assert re.search(r"^data .*\n\(?.*^shop ", found.stdout, re.MULTILINE | re.DOTALL)


def test_its_own_measurement_shows_pods_and_processes_without_being_asked(
    screen: Tmux, exporter: Podjoule, folder: Path
) -> None:
    flags = [f"--host.powercap={folder / 'sys/class/powercap'}", f"--kube.config={folder / 'kubeconfig'}"]
    address = re.search(r"server: (\S+)|\"server\": \"([^\"]+)\"", (folder / "kubeconfig").read_text())
    assert address
    kubelet = address[1] or address[2]
    flags += ["--kube.mode=kubelet", f"--kube.kubelet-address={kubelet}", "--kube.node-name=node-1"]
    screen.shell(" ".join([TOP, "--interval=1s", "--filter=web-7d", *flags]))
    found = screen.wait(r"^web-7d4b9c6f5-x2k8p +pod ")
    assert "measured by rapl" in found[0]
    screen.keys("Enter")
    screen.wait("in pod web-", lambda found: "web" in names(found))
    screen.keys("n", "r", "Enter")
    screen.wait("^By process .*in container web", lambda found: names(found)[:1] in (["python"], ["python3"]))
    leave(screen)


def test_its_own_measurement_into_a_pipe(exporter: Podjoule, folder: Path) -> None:
    found = run(f"--host.powercap={folder / 'sys/class/powercap'}", "--interval=2s", "--by=container")
    assert found.returncode == 0, found.stderr
    rows = found.stdout.partition("NAME")[2].splitlines()[1:]
    ids = [line.split()[0] for line in rows]
    assert sum(bool(re.fullmatch("[0-9a-f]{64}", each)) for each in ids) >= 4
    assert all(line.split()[-2:] != ["-", "-"] for line in rows)  # CPU is known in the first tick, too


def test_an_exporter_that_goes_away_is_said_to_and_its_figures_stay(
    screen: Tmux, require_command: Callable[[str], str], tmp_path: Path
) -> None:
    with Podjoule("--monitor.interval=1s", log=tmp_path / "podjoule.log") as podjoule:
        screen.shell(f"{TOP} --url={podjoule.url} --interval=500ms")
        screen.wait("^kernel +kernel")
    found = screen.wait(r"^[0-9]+ s old: http://.* cannot be reached: Connection refused")
    assert any(line.startswith("kernel") for line in found)
    ages = [int(re.search(r"(\d+) s old", "\n".join(found))[1])]  # type: ignore[index]
    screen.wait(rf"^(?!{ages[0]} )\d+ s old")
    leave(screen)


def run(*flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "exporter.commands.cli", "top", "--log.level=error", *flags]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)

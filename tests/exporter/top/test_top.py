"""`podjoule top` without a terminal: its rows, columns and lines, and where they come from."""

from __future__ import annotations

import http.server
import json
import logging
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from ebpf.errors import UsageError
from exporter.commands import cli
from exporter.configuration.config import Config
from exporter.http_access import Access
from exporter.plain_text import printable
from exporter.serving.api.query import WorkloadsQuery
from exporter.serving.api.routes import Api
from exporter.serving.api.status import status
from exporter.serving.api.workloads_answer import WorkloadsWriter
from exporter.serving.page.ui_files import UiFiles
from exporter.tick.power import NoEnergy, Power
from exporter.top.chosen_rows import Choice, refusal
from exporter.top.columns import columns, fitting, ordered, shown_name
from exporter.top.frame import Frame, Node, NodeZone, Row, Unanswered, make_frame
from exporter.top.grouping import NO_NAMESPACE, grouped, inside_of, matcher
from exporter.top.header import Seen, node_line, title, zone_line
from exporter.top.help import sources_told
from exporter.top.lacking import lacking, sudo
from exporter.top.plain import table_text
from exporter.top.source_local import LocalSource, for_top
from exporter.top.source_url import UrlSource, base_url
from exporter.top.table import padded, shortened
from exporter.top.text import plain
from exporter.top.units import GRAMS, JOULES, WATTS, money, scaled
from exporter.top.warning_line import without_preliminaries
from tests.exporter import nodes

POD_UID = nodes.UID
NO_PROCESS = "(ended, or not told)"
NODE = Node(
    name="n1",
    source="rapl",
    model="",
    estimated=False,
    watts=30.0,
    low_watts=None,
    high_watts=None,
    idle_watts=10.0,
    active_watts=20.0,
    unattributed_watts=0.0,
    cpu_ratio=0.5,
    zones=[NodeZone("package", 30.0, 10.0, True), NodeZone("core", 12.0, None, False)],
    currency="",
    by_process=True,
    interval_seconds=5.0,
    spanned_seconds=5.0,
    age_seconds=0.0,
    problem="",
)
WEB = Row(
    "pod", "u1", "web-1", namespace="shop", within="shop", watts=8.0, share=0.4, joules=100.0, cores=0.5
)
DB = Row("pod", "u2", "db-0", namespace="data", within="data", watts=4.0, share=0.2, joules=900.0, cores=0.2)
SSH = Row("unit", "/s/ssh.service", "/s/ssh.service", cgroup="/s/ssh.service", watts=None, joules=1.0)
LONE = Row("container", "c9", "redis", watts=1.0, share=0.05, joules=2.0)
APP = Row("container", "c1", "app", pod="u1", within="web-1", watts=7.0)
PROXY = Row("container", "c2", "proxy", pod="u1", within="web-1", watts=1.0)
PYTHON = Row("process", "12|python", "python", container="c1", cgroup="/k/c1", pid=12, watts=7.0)
SSHD = Row("process", "5|sshd", "sshd", cgroup="/s/ssh.service", pid=5)
ROWS = (WEB, DB, SSH, LONE, APP, PROXY, PYTHON, SSHD)
FRAME = Frame(NODE, ROWS, 7, 1000.0)


def names(rows: list[Row]) -> set[str]:
    return {row.name for row in rows}


# Rows and groupings


def test_all_holds_each_workload_once_so_that_the_rows_add_up() -> None:
    assert names(grouped(FRAME, "all")) == {"web-1", "db-0", "/s/ssh.service", "redis"}


@pytest.mark.parametrize(
    ("by", "found"),
    [
        ("pod", {"web-1", "db-0"}),
        ("container", {"redis", "app", "proxy"}),
        ("unit", {"/s/ssh.service"}),
        ("process", {"python", "sshd", NO_PROCESS}),
        ("namespace", {"shop", "data", NO_NAMESPACE}),
    ],
)
def test_a_grouping_holds_its_kind(by: str, found: set[str]) -> None:
    assert names(grouped(FRAME, by)) == found


def test_processes_and_what_none_of_them_has_add_up_to_all() -> None:
    by_process, everything = grouped(FRAME, "process"), grouped(FRAME, "all")
    for key in ("watts", "share", "joules"):
        sums = [sum(getattr(row, key) or 0.0 for row in rows) for rows in (by_process, everything)]
        assert sums[0] == pytest.approx(sums[1])
    (rest,) = [row for row in by_process if row.name == NO_PROCESS]
    assert (rest.watts, rest.joules) == (6.0, 1003.0)
    assert rest.cores is None, "what a process that is new keeps busy is not known yet"
    assert "nothing smaller" in refusal(rest, by_process=True)


def test_where_processes_have_all_of_it_or_are_not_told_apart_there_is_no_rest() -> None:
    whole = replace(PYTHON, watts=13.0, share=0.65, joules=1003.0, cores=0.7)
    assert names(grouped(replace(FRAME, rows=[*ROWS[:6], whole]), "process")) == {"python"}
    assert grouped(replace(FRAME, rows=ROWS[:6]), "process") == []


def test_a_namespace_is_the_sum_of_what_is_known_and_has_no_ratio() -> None:
    more = replace(
        WEB,
        id="u3",
        name="web-2",
        watts=None,
        share=None,
        joules=11.0,
        instructions_per_cycle=2.0,
        running=False,
    )
    rows = {row.name: row for row in grouped(replace(FRAME, rows=[*ROWS, more]), "namespace")}
    assert (rows["shop"].watts, rows["shop"].joules, rows["shop"].share) == (8.0, 111.0, 0.4)
    assert rows["shop"].instructions_per_cycle is None
    assert rows["shop"].running
    assert rows[NO_NAMESPACE].watts == 1.0


@pytest.mark.parametrize(
    ("scope", "found"),
    [(WEB, {"app", "proxy"}), (APP, {"python"}), (SSH, {"sshd"}), (PYTHON, set()), (LONE, set())],
)
def test_inside_of_a_row_is_what_belongs_to_it(scope: Row, found: set[str]) -> None:
    assert names(grouped(FRAME, "all", scope)) == found


@pytest.mark.parametrize("text", ["web", "WEB", "^web-\\d$", "shop", "u1"])
def test_a_filter_is_part_of_a_name_or_place_or_a_regular_expression(text: str) -> None:
    matches = matcher(text)
    assert matches(WEB)
    assert not matches(DB)


@given(st.text())
def test_any_text_is_a_filter_and_finds_a_row_that_is_called_so(text: str) -> None:
    assert matcher(text)(replace(WEB, name=f"a{text}b"))


# What is chosen


def test_the_same_sort_key_turns_round_and_another_does_not() -> None:
    choice = Choice().sorted_by("joules")
    assert (choice.sort, choice.ascending) == ("joules", False)
    choice = choice.sorted_by("joules")
    assert choice.ascending
    choice = choice.sorted_by("name")
    assert (choice.sort, choice.ascending) == ("name", True)


def test_sorting_goes_from_column_to_column_and_not_beyond_the_first_and_the_last() -> None:
    columns_ = ("name", "watts", "share")
    assert Choice().sorted_beside(1, columns_).sort == "share"
    assert Choice(sort="share").sorted_beside(1, columns_).sort == "share"
    assert Choice(sort="name").sorted_beside(-1, columns_).sort == "name"
    assert Choice(sort="cost").sorted_beside(1, columns_).sort == "name"


def test_what_is_left_is_what_was_entered_last() -> None:
    inside = Choice(filter="x").entered(WEB).entered(APP)
    assert [row.name for row in inside.scopes] == ["web-1", "app"]
    assert (inside.showing, inside.filter) == ("process", "")
    assert inside.left().scopes == (WEB,)
    assert inside.left().left().left() == Choice()
    assert inside.grouped(1) == Choice(by="pod")


def test_groupings_go_round() -> None:
    assert Choice().grouped(-1).by == "process"
    assert Choice(by="process").grouped(1).by == "all"


def test_without_processes_a_container_is_not_entered_and_it_is_said_why() -> None:
    assert "--metrics.level" in refusal(APP, by_process=False)
    assert refusal(APP, by_process=True) == ""
    assert "nothing smaller" in refusal(PYTHON, by_process=True)


# Columns and figures


@pytest.mark.parametrize(
    ("value", "scale", "shown"),
    [
        (None, WATTS, "-"),
        (0.0, WATTS, "0  W"),
        (0.0123, WATTS, "12.3 mW"),
        (0.99949, WATTS, "999 mW"),
        (0.9996, WATTS, "1.00  W"),
        (9.996, WATTS, "10.0  W"),
        (1234.0, WATTS, "1.23 kW"),
        (12_345_678.0, JOULES, "12.3 MJ"),
        (0.00042, GRAMS, "420 µg"),
        (1e-9, WATTS, "0.00 µW"),
    ],
)
def test_figures_have_three_digits_and_a_unit(value: float | None, scale: object, shown: str) -> None:
    assert scaled(value, scale) == shown  # type: ignore[arg-type]


@given(st.floats(0, 1e9))
def test_a_figure_fits_its_column(value: float) -> None:
    assert len(scaled(value, WATTS)) <= 7
    assert len(money(value)) <= 10


def test_in_80_columns_there_is_all_but_place_and_cost() -> None:
    row = replace(
        WEB,
        instructions_per_cycle=1.0,
        misses_per_1000_instructions=2.0,
        grams_per_hour=3.0,
        cost_per_hour=1.0,
    )
    found = fitting(columns("pod", [row], "EUR"), 80)
    assert [column.key for column, _ in found] == [
        "name",
        "watts",
        "share",
        "joules",
        "cpu",
        "ipc",
        "mpki",
        "carbon",
    ]
    assert sum(cells for _, cells in found) + 2 * (len(found) - 1) == 80


def test_what_says_nothing_goes_first_and_a_pipe_gets_all() -> None:
    found = [column.key for column, _ in fitting(columns("pod", [replace(WEB, grams_per_hour=1.0)], ""), 80)]
    assert found == ["name", "in", "watts", "share", "joules", "cpu", "carbon"]
    everything = [column.key for column, _ in fitting(columns("pod", [WEB], "EUR"), None)]
    assert everything == ["name", "in", "watts", "share", "joules", "cpu", "ipc", "mpki", "carbon", "cost"]


@pytest.mark.parametrize("ascending", [False, True])
def test_what_is_not_known_comes_last_in_both_directions(ascending: bool) -> None:
    watts = next(column for column in columns("all", ROWS, "") if column.key == "watts")
    found = [row.watts for row in ordered([SSH, WEB, LONE, DB], watts, ascending)]
    assert found == ([1.0, 4.0, 8.0, None] if ascending else [8.0, 4.0, 1.0, None])


def test_what_has_ended_says_so() -> None:
    assert shown_name(replace(WEB, running=False)) == "web-1 (ended)"


# Text


@given(st.text(), st.integers(0, 40))
def test_cells_are_exactly_as_wide_as_asked(text: str, room: int) -> None:
    shown = padded(printable(text), room, left=True)
    assert cell_len(shown) == room
    assert shown.isprintable()


def test_both_ends_of_a_long_name_stay() -> None:
    assert shortened("0123456789abcdef", 8) == "0123…def"
    assert cell_len(shortened("節電節電節電", 6)) <= 6


# The lines above


def test_an_estimate_says_that_it_is_one_and_how_sure() -> None:
    node = replace(NODE, estimated=True, source="model", model="curve", low_watts=20.0, high_watts=45.0)
    assert "estimated by curve" in plain(title(Seen(replace(FRAME, node=node))))
    assert "30.0 W (20.0 W to 45.0 W)" in plain(node_line(node))


def test_zones_that_lie_in_others_are_not_among_those_that_count() -> None:
    assert plain(zone_line(NODE)) == "Zones package 30.0 W (idle 10.0 W)  also core 12.0 W (idle -)"


def test_zones_of_several_sources_say_which() -> None:
    zones = [
        NodeZone("package", 30.0, 10.0, True, "perf", "preferred to rapl"),
        NodeZone("gpu", 200.0, 50.0, True, "nvml"),
    ]
    line = plain(zone_line(replace(NODE, zones=zones)))
    assert line == "Zones package 30.0 W (idle 10.0 W, by perf)  gpu 200 W (idle 50.0 W, by nvml)"
    assert sources_told(zones) == [("", ""), ("package", "perf: preferred to rapl"), ("gpu", "nvml")]
    assert sources_told(NODE.zones) == []


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (Seen(FRAME, 3.0, "http://n1 cannot be reached"), "3 s old: http://n1 cannot be reached"),
        (
            Seen(replace(FRAME, node=replace(NODE, problem="the last tick failed: x"))),
            "the last tick failed: x",
        ),
        (Seen(FRAME, 40.0), "40 s old: no new measurement"),
        (Seen(None, 0.0, "no exporter"), "no exporter"),
    ],
)
def test_trouble_is_said_with_the_age_of_the_figures(seen: Seen, said: str) -> None:
    assert seen.trouble == said


def test_what_is_not_known_is_a_dash_and_never_nan() -> None:
    text = table_text(FRAME, Choice())
    (row,) = [line for line in text.split("\n") if line.startswith("/s/ssh.service")]
    assert row.split()[2:5] == ["-", "-", "-"]
    assert "nan" not in text.lower()
    assert "\x1b" not in text


def test_what_is_missing_stands_in_one_line_above_the_table() -> None:
    lines = table_text(replace(FRAME, node=replace(NODE, lacks="missing: root")), Choice()).splitlines()
    assert lines.index("missing: root") < next(i for i, line in enumerate(lines) if line.startswith("NAME"))
    assert not [line for line in table_text(FRAME, Choice()).splitlines() if "missing" in line]


@pytest.mark.parametrize(
    ("source", "unserving", "user", "line"),
    [
        ("cpu.stat", {"rapl": "denied"}, 1000, "missing: BPF's counts and RAPL's meter (sudo has them)"),
        ("cpu.stat", {}, 1000, "missing: BPF's counts (sudo has them), a meter (podjoule doctor)"),
        ("core", {"rapl": "denied"}, 1000, "missing: RAPL's meter (sudo has it)"),
        ("core", {"rapl": "denied"}, 0, "missing: a meter (podjoule doctor)"),
        ("core", {}, 0, "missing: a meter (podjoule doctor)"),
        ("cpu.stat", {}, 0, "missing: BPF's counts and a meter (podjoule doctor)"),
    ],
)
def test_it_says_what_root_would_have_and_what_nobody_has_here(
    source: str, unserving: dict[str, str], user: int, line: str, tmp_path: Path
) -> None:
    nodes.write_process(tmp_path, 1, "init")
    node = nodes.Node(power=Power(NoEnergy(), {}, lambda: None, unserving=unserving))
    node.source.name = source
    assert lacking(node.measurement, with_procfs(tmp_path), user).line("sudo") == line


def test_where_proc_hides_the_others_root_is_asked_for_too(tmp_path: Path) -> None:
    node = nodes.Node()
    assert (
        lacking(node.measurement, with_procfs(tmp_path), 1000).line("sudo")
        == "missing: others' processes (sudo has them)"
    )


def test_with_a_meter_and_bpf_nothing_is_missing(tmp_path: Path) -> None:
    nodes.write_process(tmp_path, 1, "init")
    assert lacking(nodes.Node().measurement, with_procfs(tmp_path), 0).line("sudo") == ""


def test_what_was_not_asked_for_is_not_missing(tmp_path: Path) -> None:
    nodes.write_process(tmp_path, 1, "init")
    config, node = with_procfs(tmp_path), nodes.Node()
    node.source.name = "cpu.stat"
    asked = replace(config, ebpf=replace(config.ebpf, loader="none"))
    assert lacking(node.measurement, asked, 1000).line("sudo") == ""
    assert lacking(node.measurement, config, 1000).line("sudo") == "missing: BPF's counts (sudo has them)"


def test_without_libbpf_root_is_no_help(tmp_path: Path) -> None:
    node = nodes.Node(power=Power(NoEnergy(), {}, lambda: None))
    node.source.name = "cpu.stat"
    line = lacking(node.measurement, with_procfs(tmp_path), 0, has_libbpf=False).line("sudo")
    assert line == "missing: libbpf1 for BPF's counts, a meter and others' processes (podjoule doctor)"


def with_procfs(folder: Path) -> Config:
    return replace(Config(), host=replace(Config().host, procfs=folder))


def test_sudo_is_told_the_path_of_what_it_would_not_find(tmp_path: Path) -> None:
    own = tmp_path / "bin/podjoule"
    own.parent.mkdir()
    own.touch(mode=0o755)
    assert sudo(str(own), {}) == sudo("podjoule", {"PATH": str(own.parent)}) == f"sudo {own} top"
    assert sudo("/usr/bin/podjoule", {}) == sudo("/x/exporter/__main__.py", {}) == "sudo podjoule top"


def test_at_the_start_errors_alone_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    handler = caplog.handler
    with caplog.at_level(logging.INFO), without_preliminaries():
        for name in ("ebpf", "exporter.power", "exporter.kube"):
            for level in (logging.INFO, logging.WARNING, logging.ERROR):
                logging.getLogger(name).log(level, "%s %d", name, level)
    assert handler.filters == []
    assert caplog.messages == ["ebpf 40", "exporter.power 40", *(f"exporter.kube {n}" for n in (20, 30, 40))]


# Sources


def measured() -> nodes.Node:
    node = nodes.Node(zones=("package", "dram"))
    paths = {nodes.in_pod(1): 1.0, nodes.in_pod(2): 0.5, "/system.slice/ssh.service": 0.25}
    for path in paths:
        node.source.add(path)
    for _ in range(3):
        for path, seconds in paths.items():
            node.source.use(path, seconds, cycles=round(seconds * 1e9), instructions=round(seconds * 2e9))
        node.draw(50.0)
        node.draw(10.0, "dram")
        node.tick()
    return node


class Exporter:
    """What UrlSource asks, answered by the API itself; failing: a status to answer instead."""

    def __init__(self, node: nodes.Node) -> None:
        self.node, self.api, self.failing, self.body = node, Api(UiFiles()), 0, b""
        self.asked: list[str] = []
        self.authorizations: list[str | None] = []

    def answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        self.asked.append(handler.path)
        self.authorizations.append(handler.headers["Authorization"])
        code, body, headers = self.failing or 200, self.body, {}
        if not self.failing and not body:
            path, _, query = handler.path.removeprefix("/api/v1/").partition("?")
            environ = {"QUERY_STRING": query, "HTTP_ACCEPT_ENCODING": handler.headers["Accept-Encoding"]}
            response = self.api.respond(path, environ, self.node.publisher.page.view, None)  # type: ignore[union-attr]
            body, headers = response.body, dict(response.headers)
        handler.send_response(code)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)


@pytest.fixture
def exporter() -> Iterator[tuple[Exporter, str]]:
    made = Exporter(measured())

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.answer(self)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield made, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_url_shows_what_the_view_itself_would(exporter: tuple[Exporter, str]) -> None:
    made, url = exporter
    view = made.node.publisher.page.view  # type: ignore[union-attr]
    own = make_frame(status(view, 0.0, None), json.loads(WorkloadsWriter().write(view, WorkloadsQuery())))
    found = UrlSource(Access(url)).read()
    assert found.rows == own.rows
    assert replace(found.node, age_seconds=0) == replace(own.node, age_seconds=0)
    assert len([row for row in found.rows if row.kind == "container"]) == 2
    assert sum(row.watts or 0 for row in grouped(found, "all")) == pytest.approx(found.node.active_watts)


def test_rows_are_fetched_once_a_tick(exporter: tuple[Exporter, str]) -> None:
    made, url = exporter
    source = UrlSource(Access(url + "/metrics"))
    first = source.read()
    assert source.read().rows == first.rows
    assert made.asked == ["/api/v1/status", "/api/v1/workloads", "/api/v1/status"]
    made.node.tick()
    assert source.read().number == first.number + 1
    assert made.asked[-1] == "/api/v1/workloads"


@pytest.mark.parametrize(
    ("failing", "body", "said"),
    [
        (401, b"", "--password-file"),
        (404, b"", "is it podjoule"),
        (503, b"", "not done yet"),
        (500, b"", "500"),
        (0, b"<html>", "wanted JSON"),
        (0, b"[]", "JSON object"),
        (0, b'{"tick": {"number": NaN}}', "wanted JSON"),
        (0, b'{"tick": {}}', "does not answer as podjoule does"),
    ],
)
def test_another_answer_is_said_in_a_sentence(
    exporter: tuple[Exporter, str], failing: int, body: bytes, said: str
) -> None:
    made, url = exporter
    made.failing, made.body = failing, body
    with pytest.raises(Unanswered, match=re.escape(said)):
        UrlSource(Access(url)).read()


def test_nobody_there_is_said_too() -> None:
    with pytest.raises(Unanswered, match="cannot be reached"):
        UrlSource(Access("http://127.0.0.1:1")).read()


def test_user_and_password_are_sent(exporter: tuple[Exporter, str], tmp_path: Path) -> None:
    made, url = exporter
    (tmp_path / "password").write_text("secret\n")
    UrlSource(Access(url, "prom", tmp_path / "password")).read()
    assert set(made.authorizations) == {"Basic cHJvbTpzZWNyZXQ="}


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("node-1:28283", "http://node-1:28283"),
        ("https://n/podjoule/", "https://n/podjoule"),
        ("http://[::1]:28283/metrics", "http://[::1]:28283"),
    ],
)
def test_addresses_as_people_give_them(text: str, url: str) -> None:
    assert base_url(text) == url


@pytest.mark.parametrize(
    "text",
    [
        "ftp://n",
        "http://",
        "http://n:x",
        "http://n?a=b",
        "http://me:secret@n",
        "http://a b",
        "http://n:99999",
    ],
)
def test_wrong_addresses_are_refused_without_repeating_a_secret(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        base_url(text)
    assert "secret" not in str(caught.value)


def test_access_that_cannot_work_is_refused(tmp_path: Path) -> None:
    (tmp_path / "no.pem").write_text("nothing")
    for access in (
        Access("n", user="a"),
        Access("n", password_file=tmp_path / "no.pem"),
        Access("n", "a:b", tmp_path / "no.pem"),
        Access("n", "a", tmp_path / "absent"),
        Access("n", ca_file=tmp_path / "no.pem"),
        Access("n", ca_file=tmp_path / "absent"),
    ):
        with pytest.raises(UsageError):
            UrlSource(access)


def test_the_first_local_table_knows_the_rates() -> None:
    node = nodes.Node()
    node.source.add(nodes.in_pod(1))
    source = LocalSource(node.measurement, "n1", 5.0)
    assert source.read().is_baseline
    node.source.advance(5.0)
    node.source.use(nodes.in_pod(1), 2.0, cycles=1000, instructions=1500, cache_misses=3)
    node.draw(40.0)
    frame = source.read()
    (row,) = [row for row in frame.rows if row.kind == "container"]
    assert row.cores == pytest.approx(0.4)
    assert row.instructions_per_cycle == pytest.approx(1.5)
    assert row.misses_per_1000_instructions == pytest.approx(2.0)


def test_a_local_tick_that_fails_is_said_and_the_next_one_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    node = nodes.Node()
    source = LocalSource(node.measurement, "n1", 5.0)
    source.read()
    read = node.source.read
    with monkeypatch.context() as patch:
        patch.setattr(node.source, "read", lambda: (_ for _ in ()).throw(OSError("no map")))
        with pytest.raises(Unanswered, match="no map"):
            source.read()
    assert node.source.read.__func__ is read.__func__
    node.source.advance(5.0)
    assert source.read().node.spanned_seconds > 0


def test_it_leaves_the_state_of_a_running_exporter_alone(tmp_path: Path) -> None:
    node = nodes.Node()
    config = for_top(replace(node.config, state=replace(node.config.state, dir=tmp_path)))
    assert config.state.dir is None
    assert "process" in config.exporter.prometheus.metrics_level


def test_run_does_not_import_it() -> None:
    code = """
import sys
import exporter.commands.run, exporter.commands.cli
exporter.commands.cli._parser()
sys.exit(any(name.startswith(("exporter.top", "textual", "rich")) for name in sys.modules))
"""
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


@pytest.mark.parametrize("flags", [["--plain"], ["--count=1"], []])
def test_a_table_in_a_pipe_needs_no_textual(exporter: tuple[Exporter, str], flags: list[str]) -> None:
    code = """
import sys
import exporter.commands.cli as cli
sys.modules |= dict.fromkeys(("textual", "rich"))  # an import of them fails
sys.exit(cli.main(sys.argv[1:]))
"""
    command = [sys.executable, "-c", code, "top", f"--url={exporter[1]}", *flags]
    found = subprocess.run(command, timeout=60, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    assert "NAME" in found.stdout
    assert found.stderr == ""


def test_without_textual_a_terminal_gets_a_table_and_is_told_how_to_have_the_view(
    exporter: tuple[Exporter, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("exporter.top.command.find_spec", lambda _: None)
    monkeypatch.setattr("exporter.top.command._is_terminal", lambda _: True)
    assert cli.main(["top", f"--url={exporter[1]}"]) == 0
    found = capsys.readouterr()
    assert "NAME" in found.out
    assert found.err == "podjoule top: one table; the live view comes with: pip install 'podjoule[top]'\n"


def test_namespaces_open_to_their_pods() -> None:
    (shop,) = [row for row in grouped(FRAME, "namespace") if row.name == "shop"]
    assert inside_of(shop) == "pod"
    assert names(grouped(FRAME, "namespace", shop)) == {"web-1"}

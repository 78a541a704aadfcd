"""The view of `podjoule top`, driven by keys as textual's pilot sends them, over frames of a test's own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from textual.events import Key
from textual.pilot import Pilot

from exporter.plain_text import printable
from exporter.top.app import Top
from exporter.top.chosen_rows import Choice
from exporter.top.frame import Frame, NodeGpu, Unanswered
from exporter.top.warning_line import LastWarning
from tests.exporter.top.test_top import APP, DB, FRAME, NODE, ROWS, WEB

Steps = Callable[[Top, Pilot[None]], Awaitable[None]]
KEYS = [
    *"wsjciomn$<>rpguh/?x",
    *("enter", "escape", "tab", "shift+tab", "backspace", "space", "left", "right"),
    *("up", "down", "home", "end", "pageup", "pagedown"),
]


class Frames:
    """A source that tells one frame until it is given another, or what to raise."""

    waits, measures = True, False

    def __init__(self, told: Frame | Exception) -> None:
        self.told, self.is_closed = told, False

    def read(self) -> Frame:
        if isinstance(self.told, Exception):
            raise self.told
        return self.told

    def close(self) -> None:
        self.is_closed = True


def view(
    steps: Steps,
    told: Frame | Exception = FRAME,
    size: tuple[int, int] = (80, 24),
    interval_seconds: float = 0.05,
    choice: Choice = Choice(),  # noqa: B008
) -> Top:
    """The view after these steps; the source is closed by then."""
    source = told if isinstance(told, Frames) else Frames(told)
    app = Top(source, interval_seconds, choice, "", LastWarning())

    async def run() -> None:
        async with app.run_test(size=size, notifications=True) as pilot:
            await until(pilot, lambda: not app.is_running or "waiting" not in "".join(screen(app)))
            await steps(app, pilot)

    try:
        asyncio.run(run())
    finally:
        app.feed.stop()
    assert source.is_closed
    return app


async def until(pilot: Pilot[None], holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline, "\n".join(screen(pilot.app))
        await pilot.pause(0.02)


def screen(app: object) -> list[str]:
    """The lines, as they are drawn."""
    return [strip.text.rstrip() for strip in app.screen._compositor.render_strips()]  # type: ignore[attr-defined]


def shown(app: Top) -> list[str]:
    """What stands under NAME."""
    (head,) = [i for i, line in enumerate(screen(app)) if line.startswith("NAME")]
    return [line.split("  ")[0] for line in screen(app)[head + 1 : -1] if line]


def cursor(app: Top) -> str:
    row = app._table.row
    return row.name if row else ""


def test_the_cursor_stays_on_its_row_when_the_order_changes() -> None:
    async def steps(app: Top, pilot: Pilot[None]) -> None:
        await pilot.press("down")
        assert cursor(app) == DB.name
        await pilot.press("j")
        assert shown(app)[0] == DB.name
        assert cursor(app) == DB.name

    view(steps)


def test_on_the_first_place_it_stays_there_and_beyond_the_ends_it_does_not_go() -> None:
    async def steps(app: Top, pilot: Pilot[None]) -> None:
        await pilot.press("down", "up", "up", "pageup", "j")
        assert cursor(app) == shown(app)[0] == DB.name
        await pilot.press("end", "down", "pagedown")
        assert cursor(app) == shown(app)[-1]

    view(steps)


def test_the_cursors_row_is_always_on_the_screen() -> None:
    rows = [replace(WEB, id=str(i), name=f"web-{i}", watts=float(i)) for i in range(100)]

    async def steps(app: Top, pilot: Pilot[None]) -> None:
        assert "web-99" in shown(app)
        await pilot.press("end")
        assert shown(app)[-1] == "web-0"
        await pilot.press("pageup")
        assert cursor(app) in shown(app)
        await pilot.resize_terminal(80, 9)
        await until(pilot, lambda: len(screen(app)) == 9 and cursor(app) in shown(app))
        await pilot.press("home")
        assert shown(app)[0] == "web-99"

    view(steps, replace(FRAME, rows=rows))


def test_what_is_missing_stands_above_the_rows_and_gives_way_to_them() -> None:
    async def steps(app: Top, pilot: Pilot[None]) -> None:
        assert screen(app)[3] == "missing: root"
        await pilot.resize_terminal(80, 9)
        await until(pilot, lambda: len(screen(app)) == 9 and "missing: root" not in screen(app))

    view(steps, replace(FRAME, node=replace(NODE, lacks="missing: root")))


def test_drilling_in_and_out_leaves_the_cursor_on_what_was_entered() -> None:
    async def steps(app: Top, pilot: Pilot[None]) -> None:
        await pilot.press("n", "end", "enter")
        assert set(shown(app)) == {"app", "proxy"}
        await pilot.press("w", "enter")
        assert shown(app) == ["python"]
        assert "By process  sort watts down  1 rows  in container app  in pod web-1" in screen(app)
        await pilot.press("enter")
        await until(pilot, lambda: "nothing smaller than a process" in "".join(screen(app)))
        await pilot.press("backspace")
        assert cursor(app) == APP.name
        await pilot.press("left", "u")
        assert (app.choice.scopes, cursor(app)) == ((), WEB.name)

    view(steps)


def test_without_processes_a_container_is_not_entered_and_it_is_said_why() -> None:
    async def steps(app: Top, pilot: Pilot[None]) -> None:
        await pilot.press("enter")
        assert app.choice.scopes == ()
        await until(pilot, lambda: "--metrics.level" in "".join(screen(app)))

    view(steps, replace(FRAME, node=replace(NODE, by_process=False)), choice=Choice(by="container"))


def test_a_filter_is_typed_kept_and_cleared() -> None:
    async def steps(app: Top, pilot: Pilot[None]) -> None:
        await pilot.press("/", "w", "q", "backspace")
        assert screen(app)[-1].startswith("/w")
        assert app.choice.filter == "w"
        assert shown(app) == [WEB.name]
        assert "filter w  1 of 4" in "\n".join(screen(app))
        await pilot.press("tab", "enter")
        assert (app.choice.filter, app.choice.by) == ("w", "all")
        assert screen(app)[-1].startswith("q quit")
        await pilot.press("escape")
        assert app.choice == Choice()
        await pilot.press("/", "x", "escape", "j")
        assert app.choice == Choice(sort="joules")

    view(steps)


def test_a_filter_of_the_command_line_is_there_from_the_start_and_goes_on_when_it_is_edited() -> None:
    async def steps(app: Top, pilot: Pilot[None]) -> None:
        assert shown(app) == [WEB.name]
        await pilot.press("/", "b")
        assert app.choice.filter == "web"

    view(steps, choice=Choice(filter="we"))


def test_keys_of_the_same_breath_find_what_those_before_them_made() -> None:
    async def steps(app: Top, pilot: Pilot[None]) -> None:
        for key, character in (("slash", "/"), ("p", "p"), ("q", "q"), ("enter", "\r"), ("j", "j")):
            app.post_message(Key(key, character))
        await until(pilot, lambda: app.choice == Choice(filter="pq", sort="joules"))

    view(steps)


def test_paused_only_the_cursor_moves() -> None:
    source = Frames(FRAME)

    async def steps(app: Top, pilot: Pilot[None]) -> None:
        await pilot.press("p")
        source.told = replace(FRAME, rows=ROWS[1:])
        before = screen(app)
        await pilot.pause(0.3)
        assert screen(app) == before
        assert "PAUSED" in "".join(before)
        await pilot.press("down")
        assert cursor(app) == DB.name
        await pilot.press("space")
        await until(pilot, lambda: WEB.name not in shown(app))

    view(steps, source)  # type: ignore[arg-type]


def test_help_goes_with_the_next_key_which_does_nothing_else() -> None:
    async def steps(app: Top, pilot: Pilot[None]) -> None:
        await pilot.press("?")
        assert any("JOULES   " in line and "since the measurement" in line for line in screen(app))
        await pilot.press("tab")
        assert (app.choice, shown(app)[0]) == (Choice(), WEB.name)
        await pilot.press("h", "q")

    assert view(steps).return_code == 0


@pytest.mark.parametrize(("key", "code"), [("q", 0), ("ctrl+c", 130)])
@pytest.mark.parametrize("before", [(), ("/", "x"), ("?",)])
def test_it_ends_with_what_the_shell_expects(key: str, code: int, before: tuple[str, ...]) -> None:
    async def steps(app: Top, pilot: Pilot[None]) -> None:
        await pilot.press(*before, *(["escape"] if key == "q" and before == ("/", "x") else []), key)

    assert view(steps).return_code == code


def test_what_a_bug_raises_in_the_source_ends_it_and_is_kept() -> None:
    async def steps(app: Top, pilot: Pilot[None]) -> None:
        await until(pilot, lambda: app.failure is not None)

    app = view(steps, RuntimeError("boom"))
    assert str(app.failure) == "boom"
    assert app.return_code == 1


def test_a_source_that_does_not_answer_is_said_and_the_figures_stay() -> None:
    source = Frames(FRAME)

    async def steps(app: Top, pilot: Pilot[None]) -> None:
        source.told = Unanswered("http://n1 cannot be reached")
        said = " s old: http://n1 cannot be reached"
        await until(pilot, lambda: screen(app)[-2].endswith(said))
        before = screen(app)[-2]
        await until(pilot, lambda: screen(app)[-2].endswith(said) and screen(app)[-2] != before)
        assert WEB.name in shown(app)

    view(steps, source)  # type: ignore[arg-type]


def test_a_warning_that_is_logged_stands_in_the_line_above_the_last() -> None:
    async def steps(app: Top, pilot: Pilot[None]) -> None:
        app._warning.text = "the kubelet is slow"
        await until(pilot, lambda: screen(app)[-2].endswith("the kubelet is slow"))

    view(steps, interval_seconds=60)


@pytest.mark.parametrize(
    "name", ["\x1b[31mred\x1b]0;owned\x07", "[bold]x[/]", "節電節電-節電\u200b\u0301", "e\u0301\u202eabc"]
)
def test_a_name_is_shown_and_not_obeyed(name: str) -> None:
    async def steps(app: Top, pilot: Pilot[None]) -> None:
        await pilot.press("enter")
        lines = screen(app)
        assert all(line.isprintable() for line in lines)
        assert any("in pod " in line for line in lines)
        await pilot.press("u")
        assert any(line.startswith(printable(name)[:3]) for line in screen(app))
        assert all(cell_len(line) <= 80 for line in screen(app))

    view(steps, replace(FRAME, rows=[replace(WEB, name=name)]))


@settings(deadline=None, max_examples=3)  # each starts a view
@given(st.lists(st.sampled_from(KEYS), min_size=10, max_size=30))
def test_no_keys_lead_to_a_screen_that_cannot_be_drawn(pressed: list[str]) -> None:
    async def steps(app: Top, pilot: Pilot[None]) -> None:
        await pilot.press(*pressed)
        assert len(screen(app)) == 12

    assert view(steps, size=(80, 12)).return_code is None


@pytest.mark.parametrize(("keys", "problem"), [((), ""), (("?",), ""), (("/", "x"), "it is gone")])
def test_the_screen_has_the_terminals_size_whatever_that_is(keys: tuple[str, ...], problem: str) -> None:
    async def steps(app: Top, pilot: Pilot[None]) -> None:
        await pilot.press(*keys)
        for columns, lines in (
            (1, 1),
            (4, 2),
            (200, 3),
            (10, 5),
            (33, 7),
            (79, 60),
            (80, 24),
            (200, 1),
            (1, 60),
        ):
            await pilot.resize_terminal(columns, lines)
            await pilot.pause()
            assert len(screen(app)) == lines
            assert all(cell_len(line) <= columns for line in screen(app))

    view(steps, replace(FRAME, node=replace(NODE, problem=problem)))


@pytest.mark.parametrize(
    ("lines", "above"), [(24, "pNZB"), (9, "pNZB"), (8, "pNB"), (7, "NB"), (6, "B"), (5, "")]
)
def test_in_a_low_terminal_the_rows_are_given_room_first(lines: int, above: str) -> None:
    async def steps(app: Top, pilot: Pilot[None]) -> None:
        await until(pilot, lambda: screen(app)[len(above)].startswith("NAME"))
        assert [line[0] for line in screen(app)[: len(above)]] == list(above)
        assert len(shown(app)) >= 3

    view(steps, size=(80, lines))


def test_gpus_have_a_line_where_there_are_some_and_room() -> None:
    gpus = [NodeGpu("0", "H100", 300.0, 40.0, ["ml/train-0"]), NodeGpu("1", "H100", 40.0, 40.0)]

    async def steps(app: Top, pilot: Pilot[None]) -> None:
        line = "GPUs 0 300 W (idle 40.0 W) ml/train-0  1 40.0 W (idle 40.0 W)"
        assert line in screen(app)
        await pilot.resize_terminal(80, 9)
        await until(pilot, lambda: len(screen(app)) == 9 and line not in screen(app))

    view(steps, replace(FRAME, node=replace(NODE, gpus=gpus)))


def test_without_a_gpu_there_is_no_line_of_them() -> None:
    async def steps(app: Top, pilot: Pilot[None]) -> None:
        assert not [line for line in screen(app) if line.startswith("GPUs")]
        (zones,) = [i for i, line in enumerate(screen(app)) if line.startswith("Zones")]
        assert screen(app)[zones + 1].startswith("By ")

    view(steps)

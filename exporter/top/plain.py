"""The view for a pipe or a dumb terminal: whole tables, one after the other, and no control characters."""

from __future__ import annotations

import sys
import time
from itertools import count

from exporter.plain_text import printable
from exporter.top.chosen_rows import Choice
from exporter.top.columns import Column
from exporter.top.frame import Frame, Source, Unanswered
from exporter.top.header import Seen, gpu_line, lacks_line, node_line, shown_line, title, zone_line
from exporter.top.model import Model, make_model
from exporter.top.text import plain

_DONE, _FAILED = 0, 1


def print_tables(source: Source, interval_seconds: float, choice: Choice, tables: int, where: str) -> int:
    """Print so many tables, one an interval, 0 for no end; 1 where the last one could not be had."""
    if source.measures:
        _ask(source)
        time.sleep(interval_seconds)
    code, due = _DONE, time.monotonic()
    for number in range(tables) if tables else count():
        if number:
            due = max(due + interval_seconds, time.monotonic())
            time.sleep(max(0.0, due - time.monotonic()))
        code = _print(source, choice, where, number > 0, interval_seconds)
    return code


def table_text(frame: Frame, choice: Choice, where: str = "") -> str:
    """What is printed of one frame."""
    model = make_model(frame, choice, None)
    seen = Seen(frame, frame.node.age_seconds, where=where)
    above = [title(seen), node_line(frame.node), zone_line(frame.node)]
    above += [line for line in (gpu_line(frame.node), lacks_line(frame.node)) if line]
    lines = [plain(line).rstrip() for line in (*above, shown_line(choice, model))]
    lines += [f"trouble: {seen.trouble}"] if seen.trouble else []
    return "\n".join([*lines, "", *_table(model)]) + "\n"


def _table(model: Model) -> list[str]:
    """Nothing is cut, the columns are as wide as what is in them."""
    columns = [column for column, _ in model.columns]
    cells = [[column.title for column in columns]]
    cells += [[printable(column.show(row)) for column in columns] for row in model.rows]
    widths = [max(map(len, each)) for each in zip(*cells, strict=True)]
    return ["  ".join(map(_filled, line, widths, columns)).rstrip() for line in cells]


def _filled(cell: str, width: int, column: Column) -> str:
    return cell.ljust(width) if column.is_text else cell.rjust(width)


def _print(source: Source, choice: Choice, where: str, is_further: bool, interval_seconds: float) -> int:
    frame = _ask(source)
    if frame is not None and frame.is_baseline:  # an exporter that has just started
        time.sleep(frame.node.interval_seconds or interval_seconds)
        frame = _ask(source)
    if frame is None:
        return _FAILED
    sys.stdout.write(("\n" if is_further else "") + table_text(frame, choice, where))
    sys.stdout.flush()
    return _DONE


def _ask(source: Source) -> Frame | None:
    try:
        return source.read()
    except Unanswered as error:
        sys.stderr.write(f"podjoule top: {error}\n")
        return None

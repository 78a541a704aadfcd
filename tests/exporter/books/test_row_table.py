"""Rows come and go; the table is as large as what is there wants, with room to spare."""

from __future__ import annotations

import numpy as np

from exporter.books.row_table import RowTable


def test_a_row_is_zeros_whoever_had_it_before() -> None:
    table = RowTable(2)
    row = table.take()
    table.values[row] = 7.0
    table.release(row)
    assert table.take() == row
    assert table.values[row].tolist() == [0.0, 0.0]


def test_growing_keeps_what_the_rows_hold() -> None:
    table = RowTable(1)
    rows = [table.take() for _ in range(1000)]
    assert sorted(rows) == list(range(1000))
    table.values[:, 0] = np.arange(table.capacity)
    table.widen(2)
    table.take()
    assert table.values[:1000].tolist() == [[float(row), 0.0, 0.0] for row in range(1000)]


def test_a_table_that_is_used_in_turn_does_not_grow() -> None:
    table = RowTable(1)
    before = table.capacity
    for _ in range(1000):
        table.release(table.take())
    assert table.capacity == before


def test_a_table_that_was_full_once_gives_back_what_nobody_needs() -> None:
    table = RowTable(1)
    rows = [table.take() for _ in range(10_000)]
    table.values[:10, 0] = np.arange(10)
    for row in rows[10:]:
        table.release(row)
    assert table.shrink()
    assert table.capacity <= 128
    assert table.values[:10, 0].tolist() == list(range(10))
    assert sorted(table.take() for _ in range(300)) == list(range(10, 310)), (
        "a row is given out twice, or lost"
    )


def test_a_row_far_up_stays_where_it_is() -> None:
    table = RowTable(1)
    rows = [table.take() for _ in range(1_000)]
    table.values[999] = 7.0
    for row in rows[:999]:
        table.release(row)
    assert not table.shrink()
    assert table.values[999, 0] == 7.0

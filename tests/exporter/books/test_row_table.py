"""Rows come and go; the table is as large as its fullest moment."""

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

"""Splits keep to time."""

from __future__ import annotations

import numpy as np

from estimator.training.blocks import later_part, time_blocks

SHUFFLED = np.random.default_rng(0).permutation(np.arange(101.0))


def test_the_later_part_is_later() -> None:
    earlier, later = later_part(SHUFFLED)
    assert SHUFFLED[earlier].max() < SHUFFLED[later].min()
    assert len(later) == 30


def test_blocks_are_whole_spans_and_cover_every_row_once() -> None:
    splits = list(time_blocks(SHUFFLED))
    assert sorted(np.concatenate([test for _, test in splits])) == list(range(101))
    for train, test in splits:
        inside = (SHUFFLED[test].min() <= SHUFFLED[train]) & (SHUFFLED[train] <= SHUFFLED[test].max())
        assert not inside.any()

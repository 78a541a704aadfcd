"""Text for people, whatever is in it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.plain_text import aligned, printable, shortened


@given(st.text())
def test_what_a_terminal_would_obey_is_not_shown(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert len(shown) == len(text)


def test_a_name_that_is_fine_stays() -> None:
    assert printable("web-5f/節電") == "web-5f/節電"
    assert printable("a\x1b[2Jb\n") == "a?[2Jb?"


@given(st.text(), st.integers(0, 30))
def test_what_is_too_long_fits_its_room(text: str, room: int) -> None:
    cut = shortened(text, room)
    assert len(cut) <= room
    assert (cut == text) == (len(text) <= room)


@pytest.mark.parametrize(("room", "cut"), [(16, "0123456789abcdef"), (8, "0123…def"), (2, "0…"), (1, "…")])
def test_both_ends_stay(room: int, cut: str) -> None:
    assert shortened("0123456789abcdef", room) == cut


def test_the_width_of_a_text_is_whatever_it_is_measured_by() -> None:
    def cells(text: str) -> int:
        return sum(1 if each.isascii() or each == "…" else 2 for each in text)

    assert shortened("節電節電節電", 6, cells) == "節…電"


def test_texts_stand_to_the_left_and_numbers_to_the_right() -> None:
    lines = [["NAME", "W", "KIND"], ["a", "10.0", "pod"], ["longer", "2.0", "vm"]]
    assert aligned(lines, texts=(0, 2)).splitlines() == [
        "NAME       W  KIND",
        "a       10.0  pod",
        "longer   2.0  vm",
    ]

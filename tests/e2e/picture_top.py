"""`python -m tests.e2e.picture_top`: the picture of `podjoule top` in docs/images, from a real terminal.

What is on it is real but for the meter and the names: see page_stage.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from html import escape
from pathlib import Path

from tests.e2e.page_stage import SHOP, stage
from tests.e2e.screenshots import ARGUMENTS, IMAGES
from tests.e2e.tmux import terminal

COLUMNS, LINES = 100, 17
CELL, LINE, MARGIN = 8.4, 18, 14
INK, PAPER = "#d8dee9", "#1d2129"
COLOURS = {"31": "#ff7b72", "32": "#7ee787", "33": "#e3b341", "36": "#76d9e6"}
SHOWN = "shop|media|data|monit|kernel"
NO_BREAK = "&#160;"  # spaces of SVG run into one
SGR = re.compile(r"\x1b\[([0-9;]*)m")


def main() -> None:
    """Let it run for a while, then take the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to measure before")
    parser.add_argument("--images", type=Path, default=IMAGES, help="where the picture goes")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with stage(folder, SHOP, *ARGUMENTS) as podjoule, terminal(folder, COLUMNS, LINES) as screen:
            time.sleep(arguments.seconds)
            screen.shell(
                f"{sys.executable} -m exporter.commands.cli top --url={podjoule.url} --filter='{SHOWN}'"
            )
            screen.wait("^web-.* pod ")
            time.sleep(4)
            arguments.images.mkdir(parents=True, exist_ok=True)
            found = screen.coloured().replace(podjoule.url, "http://node-1:28283")
            (arguments.images / "top.svg").write_text(svg(found.rstrip("\n").split("\n")))


def svg(lines: list[str]) -> str:
    """The screen that tmux captured, as a picture without anything from elsewhere."""
    columns = max(len(SGR.sub("", line)) for line in lines)
    size = round(2 * MARGIN + columns * CELL), 2 * MARGIN + len(lines) * LINE
    texts = "".join(_line(line, MARGIN + i * LINE) for i, line in enumerate(lines))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{size[0]}" height="{size[1]}" role="img" '
        f'viewBox="0 0 {size[0]} {size[1]}"><title>podjoule top</title>'
        f'<rect width="100%" height="100%" rx="8" fill="{PAPER}"/>'
        '<g font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, monospace" font-size="14">'
        f"{texts}</g></svg>\n"
    )


def _line(line: str, top: float) -> str:
    parts, column = [], 0
    for text, style in _runs(line):
        x, cells = MARGIN + column * CELL, len(text) * CELL
        ink = COLOURS.get(next((each for each in style if each in COLOURS), ""), INK)
        if "7" in style:
            parts.append(f'<rect x="{x:.1f}" y="{top}" width="{cells:.1f}" height="{LINE}" fill="{INK}"/>')
            ink = PAPER
        looks = ' font-weight="bold"' * ("1" in style) + ' opacity="0.6"' * ("2" in style)
        looks += ' text-decoration="underline"' * ("4" in style)
        if text.strip():
            parts.append(
                f'<text x="{x:.1f}" y="{top + 13}" textLength="{cells:.1f}" fill="{ink}"{looks}>'
                f"{escape(text).replace(' ', NO_BREAK)}</text>"
            )
        column += len(text)
    return "".join(parts)


def _runs(line: str) -> Iterator[tuple[str, frozenset[str]]]:
    """Pieces of text with the SGR parameters in force."""
    style: frozenset[str] = frozenset()
    for i, piece in enumerate(SGR.split(line)):
        if i % 2 == 0:
            if piece:
                yield piece, style
            continue
        for code in piece.split(";"):
            if code in ("", "0"):
                style = frozenset()
            elif code == "39":
                style -= COLOURS.keys()
            elif code != "49":
                style |= {code}


if __name__ == "__main__":
    main()

"""`make pictures`: the pictures of docs/notebooks.md, out of the notebooks as they run now."""

from __future__ import annotations

import sys
import tempfile
from io import BytesIO
from pathlib import Path

from PIL import Image

from tests.notebooks.executed import NOTEBOOKS, ROOT, execute

FOLDER = ROOT / "docs/images"
# By notebook, the words by which a figure's sentence is known, and its picture's name.
PICTURES = {
    "01": {"For work of the median kind": "power-against-load"},
    "02": {
        "there is something in it": "residuals-by-cpu-time",
        "none of these would": "residuals-by-counters",
        "The interval held": "coverage",
        "blocks held out goes": "learning-curve",
        "Shuffled": "importance",
    },
    "03": {
        "(the furthest is shop": "who-used-it",
        "How far off a workload": "by-counters-and-by-cpu-time",
        "what the meter shows": "over-time",
    },
    "04": {"Over all": "what-moving-costs"},
    "05": {"Over all: old": "old-and-new"},
}


def name_of(number: str, name: str) -> str:
    return f"notebook-{number}-{name}.png"


def main() -> int:
    """Run all five, and write their pictures."""
    for number, chosen in PICTURES.items():
        (path,) = (path for path in NOTEBOOKS if path.name.startswith(number))
        with tempfile.TemporaryDirectory(prefix="podjoule-pictures-") as folder:
            figures = execute(path, Path(folder)).figures
        for words, name in chosen.items():
            picture = next(picture for sentence, picture in figures if words in sentence)
            # 64 colours are enough, and take half the bytes.
            few = Image.open(BytesIO(picture)).convert("RGB").quantize(64, dither=Image.Dither.NONE)
            few.save(FOLDER / name_of(number, name), optimize=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

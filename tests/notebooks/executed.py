"""A notebook executed once a session, and what its cells showed."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbclient
import nbformat

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


@dataclass(frozen=True, slots=True)
class Executed:
    """figures: sentence and PNG of each, in their order. outputs: all of them."""

    notebook: Any
    outputs: list[Any]

    @property
    def figures(self) -> list[tuple[str, bytes]]:
        """Those that a display showed."""
        data = (output.get("data", {}) for output in self.outputs)
        return [
            (str(each["text/plain"]), base64.b64decode(each["image/png"]))
            for each in data
            if "image/png" in each
        ]

    @property
    def answer(self) -> Any:
        """What the last cell printed, read as JSON."""
        return json.loads(self.outputs[-1]["text"])


def execute(path: Path, output: Path, ask: str = "None", **environ: str) -> Executed:
    """Run a copy, with one cell more that prints an expression as JSON. output: where it may write."""
    notebook = nbformat.read(path, 4)
    notebook.cells.append(nbformat.v4.new_code_cell(f"import json\nprint(json.dumps({ask}))"))
    python_path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    told = {"PYTHONPATH": python_path, "PODJOULE_OUTPUT": str(output), **environ}
    told |= {
        name: str(output / name.lower()) for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "MPLCONFIGDIR")
    }
    client = nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(FOLDER)}}
    )
    with client.setup_kernel(env=_environment(told)):
        for at, cell in enumerate(notebook.cells):
            client.execute_cell(cell, at)
    return Executed(notebook, list(_outputs(notebook)))


def _environment(told: Mapping[str, str]) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("PODJOULE_")}
    return {**own, **told}


def _outputs(notebook: Any) -> Iterator[Any]:
    return (output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs)

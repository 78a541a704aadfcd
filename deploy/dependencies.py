"""Print the dependencies that pyproject.toml names, one a line, for pip's --requirement.

python3 dependencies.py pyproject.toml [EXTRA...]: those of run time, and those of the extras.

The image installs them in a layer of their own, which a change of the code leaves as it is.
"""

import sys
import tomllib
from pathlib import Path


def dependencies(pyproject: Path, *extras: str) -> list[str]:
    """As pyproject.toml words them."""
    project = tomllib.loads(pyproject.read_text())["project"]
    beside = [name for extra in extras for name in project["optional-dependencies"][extra]]
    return [*project["dependencies"], *beside]


if __name__ == "__main__":
    sys.stdout.write("".join(f"{name}\n" for name in dependencies(Path(sys.argv[1]), *sys.argv[2:])))

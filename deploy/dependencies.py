"""Print the dependencies that pyproject.toml names, one a line, for pip's --requirement.

python3 dependencies.py pyproject.toml [EXTRA...]: those of run time, and those of the extras.

The image installs them in a layer of their own, which a change of the code leaves as it is.
"""

import sys
import tomllib
from pathlib import Path

if __name__ == "__main__":
    project = tomllib.loads(Path(sys.argv[1]).read_text())["project"]
    extras = [name for extra in sys.argv[2:] for name in project["optional-dependencies"][extra]]
    sys.stdout.write("".join(f"{name}\n" for name in [*project["dependencies"], *extras]))

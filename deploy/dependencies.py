"""Print the run-time dependencies that pyproject.toml names, one a line, for pip's --requirement.

The image installs them in a layer of their own, which a change of the code leaves as it is.
"""

import sys
import tomllib
from pathlib import Path

if __name__ == "__main__":
    project = tomllib.loads(Path(sys.argv[1]).read_text())["project"]
    sys.stdout.write("".join(f"{name}\n" for name in project["dependencies"]))

"""What is installed with our dependencies, and serves nobody at run time: tests, headers, type stubs, and the
kubernetes client's asyncio twin with what it alone needs.

python3 left_out.py FOLDER: remove it below a site-packages.
"""

import re
import shutil
import sys
from pathlib import Path

DISTRIBUTIONS = {
    *("aiohappyeyeballs", "aiohttp", "aiohttp-retry", "aiosignal", "attrs", "frozenlist", "multidict"),
    *("propcache", "yarl"),
}
_FOLDERS = re.compile(r"(^|/)(tests|_examples|numpy/_core/(include|lib)|kubernetes/aio)(/|$)")
_FILES = re.compile(r"\.(pyi|pxd)$")


def is_left_out(path: str) -> bool:
    """Whether a file of a distribution is, by its path in site-packages."""
    return bool(_FOLDERS.search(path) or _FILES.search(path))


def name_of(distribution: str) -> str:
    """A distribution's name as all spell it."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def _remove(site: Path) -> None:
    for record in sorted(site.glob("*.dist-info/RECORD")):
        names = [line.rsplit(",", 2)[0] for line in record.read_text().splitlines()]
        whole = name_of(record.parent.name.split("-")[0]) in DISTRIBUTIONS
        for path in (site / name for name in names if whole or is_left_out(name)):
            path.unlink(missing_ok=True)
            # core.pyi is no source of core's bytecode
            for compiled in (
                path.parent.glob(f"__pycache__/{path.stem}.*.pyc") if path.suffix == ".py" else ()
            ):
                compiled.unlink()
        if whole:
            shutil.rmtree(record.parent, ignore_errors=True)
    for folder in sorted((path for path in site.rglob("*") if path.is_dir()), reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()


if __name__ == "__main__":
    _remove(Path(sys.argv[1]))

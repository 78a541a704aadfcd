"""`make test`: the tests in parts, each as they can bear it, and one sum in the end.

    python -m tests [PART...] [-- ARGUMENT...]

The last line counts what all parts did; the exit code is 1 if anything failed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import TALLY, left_out

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Run:
    """One pytest: the tests that these marks select, all of them below `folders`; more of pytest's `options`.

    Modules elsewhere are not imported, which takes as long as many a test.
    """

    marks: str
    folders: tuple[str, ...] = (".",)
    options: tuple[str, ...] = ()

    def arguments(self, told: Sequence[str] = ()) -> list[str]:
        """For pytest. Files and tests that are told take the place of the folders."""
        folders = [] if any(_is_there(each) for each in told) else [f"tests/{each}" for each in self.folders]
        return ["-m", self.marks, *self.options, *folders, *told]


def _is_there(argument: str) -> bool:
    return (ROOT / argument.partition("::")[0]).exists()


_TWO = ("-n", "2", "--dist", "loadfile")
_RELEASED = ("deploy/test_release.py", "deploy/test_compose.py")
_WEB = ("exporter/serving/http", "exporter/serving/security", "exporter/names/kube")
# What measures time, CPU or the kernel's counts has the machine for itself. Machines that are emulated or set
# up wait as much as they work, so they go side by side; so do servers and browsers of which is asked what
# they answer, and not how soon. Each of a part's runs is a process of its own: what a test that failed leaves
# running in it ends with it, and takes no time from those that come after.
PARTS = {
    "pure": [
        Run(
            "not (live or e2e or alone or kernels or fresh)",
            options=("-n", "auto", "--dist", "worksteal"),
        )
    ],
    "alone": [
        Run(
            "alone and not (live or e2e or kernels or fresh)",
            (*_WEB, "exporter/restarts", "exporter/tariffs", "exporter/tick"),
        ),
        Run(
            "live and not (e2e or kernels or fresh)",
            ("live", "exporter/doctor", "soak", "test_keeper.py"),
        ),
        Run(
            "e2e and alone and not (kubernetes or kernels or fresh)",
            ("e2e", "exporter/bmc", "exporter/reports/test_engine.py", "exporter/tariffs"),
        ),
        Run(
            "e2e and not (alone or kubernetes or kernels or fresh)",
            ("e2e", *_RELEASED, "exporter/bmc", "exporter/metrics", "exporter/reports/formats", "soak"),
            _TWO,
        ),
        Run(
            "e2e and kubernetes and not (kernels or fresh)",
            ("e2e/kubernetes", "deploy/test_admission.py"),
        ),
    ],
    "machines": [Run("(kernels or fresh) and not compiles", ("vm", "fresh"), _TWO)],
    "compiled": [Run("compiles", ("vm",))],
}
DEFAULT = ("pure", "alone")
# What failed is asked once more, and that is told: the machine is shared with others. What is wrong fails
# again (an example that hypothesis found is kept, and tried first). More of them than these are no accident;
# an emulated machine that stands still fails all that is asked of it.
MOST_ASKED_TWICE = {"pure": 3, "alone": 12, "machines": 20}
_PASSED = (0, 5)  # pytest's codes: all passed, nothing was asked for


def main() -> int:
    """Run the parts in turn."""
    told, _, arguments = " ".join(sys.argv[1:]).partition("--")
    parts = told.split() or DEFAULT
    if unknown := set(parts) - PARTS.keys():
        sys.stderr.write(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}\n")
        return 2
    if set(parts) & set(DEFAULT):
        subprocess.run([sys.executable, "-m", "tests.e2e.cluster", "build"], cwd=ROOT, check=False)
    counts: Counter[str] = Counter()
    unsteady: list[str] = []
    for part in parts:
        began = time.monotonic()
        found, failed = _run_each([run.arguments(arguments.split()) for run in PARTS[part]])
        if len(failed) == found["failed"] and 0 < len(failed) <= MOST_ASKED_TWICE.get(part, 0):
            again, failed_again = _run(failed)
            found += again - Counter({"failed": again["failed"]})
            found["failed"] = again["failed"]
            unsteady += [name for name in failed if name not in failed_again]
        counts += found
        print(f"{part}: {time.monotonic() - began:.0f} s", flush=True)
    if counts["without_cluster"]:
        print(left_out(counts["without_cluster"]))
    for name in unsteady:
        print(f"UNSTEADY, failed and then passed: {name}")
    print(
        f"tests: {counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped, "
        f"{len(unsteady)} unsteady"
    )
    return int(counts["failed"] > 0)


def _run_each(runs: list[list[str]]) -> tuple[Counter[str], list[str]]:
    """The runs of a part in turn, and what they come to."""
    counts: Counter[str] = Counter()
    failed: list[str] = []
    for arguments in runs:
        found, failed_here = _run(arguments)
        counts += found
        failed += failed_here
    return counts, failed


def _run(arguments: list[str]) -> tuple[Counter[str], list[str]]:
    """One pytest: its counts, and which failed; one that does not come to its end is a failure."""
    with tempfile.NamedTemporaryFile(prefix="podjoule-tally-") as tally:
        environment = {**os.environ, TALLY: tally.name}
        # Hundreds of tests start a podjoule: compiled once, as where it is installed, not by each of them.
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        command = [sys.executable, "-m", "pytest", "--durations=12", *arguments]
        code = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
        text = Path(tally.name).read_text()
    told = json.loads(text) if text else {"counts": {}, "failed": []}
    counts = Counter[str](told["counts"])
    if code not in _PASSED and not counts["failed"]:
        counts["failed"] += 1
    return counts, told["failed"]


if __name__ == "__main__":
    sys.exit(main())

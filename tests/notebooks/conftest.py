from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.notebooks.executed import Executed

# What a notebook's last cell is asked for, to hold its sentences against: expressions over its variables.
ASKED = {
    "01": "{'coefficients': [[*key, value] for key, value in model.coefficients_['value'].items()],"
    " 'path': str(path)}",
    "02": "{'later': len(later), 'curve': curve['held_out_mae_watts'].to_dict(),"
    " 'losses': losses.mean().to_dict(),"
    " 'measured': list(later['package_joules'] / later['interval_seconds']),"
    " 'predicted': {each.name: list(each.predict(later)) for each in (by_counters, by_cpu_time)},"
    " 'interval': [list(bound) for bound in by_counters.predict_interval(later)],"
    " 'narrow': {name: podjoule.evaluate(by_cpu_time, rows).iloc[0].to_dict()"
    " for name, rows in narrow.items()}}",
    "03": "{'package': [[*key, value] for key, value in by_workload['joules'].items()],"
    " 'dram': [[*key, value] for key, value in by_memory.items()],"
    " 'by CPU time': errors['by CPU time'].abs().max(), 'by counters': errors['by counters'].abs().max()}",
    "04": "{'summary': summary.to_dict(), 'moved': moved.to_dict(), 'specified': specified.to_dict()}",
    "05": "{'wape': wape.to_dict(),"
    " 'kinds': {name: search.best_params_ for name, search in searches.items()},"
    " 'files': sorted(path.name for path in OUTPUT.glob('*.json'))}",
}


@pytest.fixture(scope="session")
def executed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Executed]:
    """Of a notebook by its number, run once a session."""
    from tests.notebooks.executed import NOTEBOOKS, execute

    known: dict[str, Executed] = {}

    def run(number: str) -> Executed:
        if number not in known:
            (path,) = (path for path in NOTEBOOKS if path.name.startswith(number))
            known[number] = execute(path, tmp_path_factory.mktemp(f"notebook{number}"), ASKED[number])
        return known[number]

    return run


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "output"

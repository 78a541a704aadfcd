"""A model that is made once for all who look at one."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from exporter.commands.cli import main

NX12 = Path(__file__).parents[2] / "data" / "nx12_train.csv"


@pytest.fixture(scope="session")
def parts(tmp_path_factory):
    """The first 70 % of the table in time, and the rest."""
    directory = tmp_path_factory.mktemp("parts")
    table = pd.read_csv(NX12)
    cut = round(0.7 * len(table))
    table[:cut].to_csv(directory / "earlier.csv", index=False)
    table[cut:].to_csv(directory / "later.csv", index=False)
    return directory / "earlier.csv", directory / "later.csv"


@pytest.fixture(scope="session")
def trained(parts, tmp_path_factory):
    output = tmp_path_factory.mktemp("model") / "mine.json"
    assert main(["train", "--input", str(parts[0]), "--zones", "package,dram", "--output", str(output)]) == 0
    return output

"""exporter/reports/embodied.csv from Cloud Carbon Footprint's table of AWS: kg CO2 equivalent by instance
type.

Its figures are of whole platforms. The largest instance that has the same CPU is taken for all of one; a
smaller one is its part by vCPU. What has no instance of a platform's size (t3) is left out, and so is
Google's table, which has up to 3,700 tons for one machine. python -m tests.exporter.reports.embodied_table >
exporter/reports/embodied.csv
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

AWS = Path(__file__).parents[2] / "data" / "aws_instances.csv"
_SMALLEST = 16  # threads of a platform
_CPU, _TONS = "Platform CPU Name", "Platform Embedded Emissions (mtCo2eq)"


def embodied_table(path: Path = AWS) -> str:
    """One line a type, sorted."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row[_TONS]]
    whole: dict[str, int] = {}
    for row in rows:
        whole[row[_CPU]] = max(whole.get(row[_CPU], 0), int(row["vCPUs"]))
    kg = {
        row["Instance Type"]: float(row[_TONS]) * 1e3 * int(row["vCPUs"]) / whole[row[_CPU]]
        for row in rows
        if whole[row[_CPU]] >= _SMALLEST
    }
    return "".join(["type,embodied_kg\n", *(f"{name},{kg[name]:.4g}\n" for name in sorted(kg))])


if __name__ == "__main__":
    sys.stdout.write(embodied_table())

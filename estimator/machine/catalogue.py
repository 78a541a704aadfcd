"""The shipped tables: CPUs by name with their specifications, and the clouds' instance types with their CPUs.

They are searched as text, not parsed whole: a look-up reads one file and one line of it. Made by
`python -m estimator.training.curves.power_from_specification`; origins in tests/data/README.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from estimator.machine.names import chips_by_name, family_of_key, key_of
from estimator.machine.specification import Specification

CPU_TABLE, INSTANCE_TABLE = "cpus.csv", "instances.csv"
_LARGE = 0.85
_NUMBER = r"(.*?\d{3})(\d)"


@dataclass(frozen=True, slots=True)
class Instance:
    """An instance type: the CPU's name, None where the provider does not say, vCPUs and memory."""

    cpu: str | None
    n_cpu: int | None = None
    memory_gb: float | None = None


class Catalogue:
    """The tables' text; each is read when it is first asked for."""

    def __init__(self, cpus: str | None = None, instances: str | None = None) -> None:
        self._given = cpus, instances

    @cached_property
    def _cpus(self) -> str:
        return self._given[0] if self._given[0] is not None else _read(CPU_TABLE)

    @cached_property
    def _instances(self) -> str:
        return self._given[1] if self._given[1] is not None else _read(INSTANCE_TABLE)

    def specification_of(self, name: str) -> Specification:
        """Of one CPU of this name: family, cores, threads, clock, TDP and year as far as the table goes.

        A name that is not in the table is taken for the part whose number lies nearest, of its family and
        line and alike but for the last digit, with the key left empty; else there is the family alone.
        """
        key = key_of(name)
        if row := self._row(key):
            return _specification(key, row)
        family = family_of_key(key)
        near = _nearest(key, list(self.of_family(family))) if family else None
        return replace(near, cpu="") if near else Specification(family=family)

    def of_family(self, family: str) -> Iterator[Specification]:
        """Every part of a family."""
        for line in self._cpus.splitlines()[1:]:
            key, _, row = line.partition(",")
            if row.startswith(f"{family},"):
                yield _specification(key, row)

    def largest_of(self, family: str) -> tuple[Specification, ...]:
        """What a guest that knows its family alone is likely on: its large parts, of servers if it has any.

        Clouds buy the large ones, and of a large one there are more vCPUs to be on.
        """
        parts = [of for of in self.of_family(family) if of.cores_per_chip]
        parts = [of for of in parts if of.cpu.startswith(("xeon", "epyc"))] or parts
        most = max((of.threads_per_chip or 0.0 for of in parts), default=0.0)
        return tuple(of for of in parts if (of.threads_per_chip or 0.0) >= _LARGE * most)

    def instance(self, instance_type: str) -> Instance | None:
        """A type of AWS or Google by its name, of Azure by the rules of its names; None for others."""
        if row := _line(self._instances, instance_type.lower()):
            cpu, n_cpu, memory_gb = row.rsplit(",", 2)
            return Instance(cpu or None, int(n_cpu), float(memory_gb))
        return _azure(instance_type)

    def _row(self, key: str) -> str | None:
        return _line(self._cpus, key)


def _read(table: str) -> str:
    return (Path(__file__).with_name("tables") / table).read_text(encoding="utf-8")


def _line(text: str, key: str) -> str | None:
    start = text.find(f"\n{key},")
    if not key or start < 0:
        return None
    end = text.find("\n", start + 1)
    return text[start + len(key) + 2 : end if end > 0 else None]


def _specification(key: str, row: str) -> Specification:
    family, cores, threads, mhz, tdp, year = row.split(",")
    n_cores, n_threads = _number(cores), _number(threads)
    return Specification(
        family=family or None,
        cores_per_chip=n_cores,
        threads_per_core=n_threads / n_cores if n_threads and n_cores else None,
        mhz=_number(mhz),
        tdp_watts=_number(tdp),
        year=_number(year),
        chips=chips_by_name(key),
        cpu=key,
    )


def _number(text: str) -> float | None:
    return float(text) if text else None


def _nearest(key: str, parts: list[Specification]) -> Specification | None:
    """By the last of the four digits; what stands before it is the same (an E5-2673 v4 is no E5-2643 v4)."""
    number = re.match(_NUMBER, key)
    if number is None:
        return None
    found = [(of, part) for part in parts if (of := re.match(_NUMBER, part.cpu)) and of[1] == number[1]]
    return min(found, key=lambda near: abs(int(near[0][2]) - int(number[2])), default=(None, None))[1]


# Azure: D8ads_v5 is a series, vCPUs, features (a: AMD, p: Arm) and a version. Of the series D and E, the CPU
# that Microsoft's page on the series names first (of 9004 and 9005 it names no part); up to version 3 there
# are too many. Source: MicrosoftDocs/azure-docs, articles/virtual-machines/sizes, read 2026.
_AZURE = r"(?:standard_)?[de](\d+)(?:-\d+)?([a-z]*)_v(\d+)$"
_AZURE_CPUS = {
    ("a", 4): "AMD EPYC 7452",
    ("a", 5): "AMD EPYC 7763v",
    ("a", 6): "AMD EPYC Genoa",
    ("a", 7): "AMD EPYC Turin",
    ("p", 5): "Ampere Altra Q80-30",
    ("p", 6): "Azure Cobalt 100",
    ("", 4): "Intel Xeon Platinum 8370C",
    ("", 5): "Intel Xeon Platinum 8370C",
    ("", 6): "Intel Xeon Platinum 8573C",
}


def _azure(instance_type: str) -> Instance | None:
    parts = re.match(_AZURE, instance_type.lower())
    if parts is None:
        return None
    maker = next((letter for letter in "ap" if letter in parts[2]), "")
    return Instance(_AZURE_CPUS.get((maker, int(parts[3]))), int(parts[1]))

"""The page on the library, made from its docstrings: python -m exporter.commands.library_reference."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import podjoule

_HEAD = """<!-- Made by `make docs` from the docstrings of podjoule.py and estimator/library; edit those. -->
# `import podjoule`

"""


# As they are used; then the rest, and what is raised last.
_ORDER = (
    "read_samples",
    "check_samples",
    "PowerModel",
    "BlockedSplit",
    "evaluate",
    "compare",
    "calibrate_online",
    "learning_curve",
    "importance_by_blocks",
)
# An annotation, which `from __future__ import annotations` makes a string.
_QUOTED = re.compile(r"(?<=: |> )'([^']*)'")


def reference() -> str:
    """The page, in Markdown: a section a name."""
    names = [name for name in podjoule.__all__ if not name.startswith("_")]
    sections = (_section(name, getattr(podjoule, name)) for name in sorted(names, key=_rank))
    return _HEAD + inspect.cleandoc(podjoule.__doc__ or "") + "\n\n" + "\n".join(sections)


def _rank(name: str) -> tuple[bool, int, str]:
    at = _ORDER.index(name) if name in _ORDER else len(_ORDER)
    return _is_raised(getattr(podjoule, name)), at, name


def _is_raised(of: Any) -> bool:
    return inspect.isclass(of) and issubclass(of, Exception)


def _section(name: str, of: Any) -> str:
    if isinstance(of, ModuleType):
        drawn = (f"{_signature(f'{name}.{each}', draw)}\n\n{_doc(draw)}\n" for each, draw in _functions(of))
        return "\n".join([f"## {name}\n\n{_doc(of)}\n", *drawn])
    if _is_raised(of):
        bases = " and a ".join(base.__name__ for base in of.__bases__)
        return f"## {name}\n\n{_doc(of)} It is a {bases}.\n"
    parts = [f"## {name}\n\n{_signature(name, of)}\n\n{_doc(of)}\n"]
    if inspect.isclass(of):
        parts += [f"### {name}.{each}\n\n{text}\n" for each, text in _members(of)]
    return "\n".join(parts)


def _functions(module: ModuleType) -> Iterator[tuple[str, Callable[..., Any]]]:
    for name in module.__all__:
        if inspect.isfunction(of := getattr(module, name)):
            yield name, of


def _members(of: type) -> Iterator[tuple[str, str]]:
    """Methods and properties that are its own; not what scikit-learn adds."""
    for name, member in vars(of).items():
        if name.startswith("_") or name.endswith("_request"):
            continue
        if isinstance(member, property):
            yield name, _doc(member)
        elif callable(function := getattr(of, name)):
            yield name, f"{_signature(name, function)}\n\n{_doc(function)}"


def _signature(name: str, of: Callable[..., Any]) -> str:
    signature = _QUOTED.sub(r"\1", str(inspect.signature(of)).removesuffix(" -> 'None'"))
    return f"```python\n{name}{signature}\n```"


def _doc(of: object) -> str:
    return inspect.getdoc(of) or ""


if __name__ == "__main__":
    sys.stdout.write(reference())

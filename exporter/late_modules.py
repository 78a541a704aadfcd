"""Modules that libraries import at their start and hardly ever call: loaded when they are called."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from types import ModuleType
from typing import Any


@contextmanager
def late(name: str, *functions: str) -> Iterator[None]:
    """Whoever imports the module `name` meanwhile gets these functions of it; a call of one loads it.

    Does nothing where it is loaded already.
    """
    if name in sys.modules:
        yield
        return
    stand_in = _StandIn(name)
    for function in functions:
        setattr(stand_in, function, partial(_call, stand_in, function))
    stand_in.step_in()
    try:
        yield
    finally:
        stand_in.step_aside()


class _StandIn(ModuleType):
    """In place of a module that is not loaded. Another thread that wants more of it gets the module's own."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # the import itself asks whether this is a package
            raise AttributeError(name)
        return getattr(self.loaded(), name)

    def loaded(self) -> ModuleType:
        """The module itself."""
        self.step_aside()
        return import_module(self.__name__)

    def step_in(self) -> None:
        """From now on whoever imports the module has this."""
        package, _, child = self.__name__.rpartition(".")
        if package:  # where `import a.b` leaves it for `a.b.c`
            setattr(import_module(package), child, self)
        sys.modules[self.__name__] = self

    def step_aside(self) -> None:
        """From now on the module can be imported."""
        package, _, child = self.__name__.rpartition(".")
        if package and vars(sys.modules[package]).get(child) is self:
            delattr(sys.modules[package], child)
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]


def _call(stand_in: _StandIn, function: str, *arguments: Any, **named: Any) -> Any:
    return getattr(stand_in.loaded(), function)(*arguments, **named)

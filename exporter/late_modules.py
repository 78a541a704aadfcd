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
    stand_in = sys.modules[name] = _StandIn(name)
    for function in functions:
        setattr(stand_in, function, partial(_call, stand_in, function))
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

    def step_aside(self) -> None:
        """From now on the module can be imported."""
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]


def _call(stand_in: _StandIn, function: str, *arguments: Any, **named: Any) -> Any:
    return getattr(stand_in.loaded(), function)(*arguments, **named)

"""The official client, as little of it as is needed."""

from __future__ import annotations

import sys
from contextlib import suppress
from functools import cache
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Any

_PACKAGE = "kubernetes"


@cache
def client_parts() -> tuple[Any, Any]:
    """The classes Configuration and RESTClientObject, imported once.

    Importing anything of the package runs its __init__, which imports all of it: OAuth, requests,
    web sockets, pydantic. Measured with kubernetes 37: 20 MB resident, of which these two classes and
    urllib3 are 3.5. So they are imported beside an empty parent, and forgotten by the import system again:
    whoever imports kubernetes later gets the whole, untouched. Should a version not allow that, it is
    imported as usual.
    """
    if _PACKAGE in sys.modules:
        return _parts()
    with suppress(ImportError, AttributeError):
        try:
            sys.modules[_PACKAGE] = _empty_package()
            return _parts()
        finally:
            _forget()
    return _parts()


def _forget() -> None:
    for name in [name for name in sys.modules if name == _PACKAGE or name.startswith(f"{_PACKAGE}.")]:
        del sys.modules[name]


def _empty_package() -> ModuleType:
    spec = find_spec(_PACKAGE)
    if spec is None:
        raise ImportError("the package kubernetes is not installed: pip install kubernetes")
    return module_from_spec(spec)


def _parts() -> tuple[Any, Any]:
    configuration = import_module("kubernetes.client.configuration").Configuration
    return configuration, import_module("kubernetes.client.rest").RESTClientObject

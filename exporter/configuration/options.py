"""The table of options: each is a field of a configuration dataclass, written down once.

Flag, environment variable, place in the YAML file, check and documentation all come from here.
"""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields
from reprlib import Repr
from typing import Any, TypeVar, cast

from ebpf.errors import UsageError
from exporter.configuration.nearest import cut, nearest
from exporter.configuration.value_types import ValueType

T = TypeVar("T")
ENVIRONMENT_PREFIX = "PODJOULE_"
CONFIG_FILE_FLAG = "--config.file"
CONFIG_FILE_DEST = "config.file"
CONFIG_FILE_ENVIRONMENT = "PODJOULE_CONFIG_FILE"
_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 200
_SHORT.maxlist = _SHORT.maxdict = 20


@dataclass(frozen=True, slots=True)
class Option:
    """One option. key: its path in the YAML file, in Kepler's spelling. flag: in node_exporter's form.

    reloadable: a change takes effect at SIGHUP, without a restart. fallback: the default where it depends on
    the environment; its documentation is in `default_description`.
    """

    key: str
    value_type: ValueType[Any]
    default: object
    description: str
    flag: str
    reloadable: bool = False
    fallback: Callable[[Mapping[str, str]], object] | None = None
    default_description: str = ""

    @property
    def environment(self) -> str:
        """The environment variable: the flag in capitals with underscores, after PODJOULE_."""
        return ENVIRONMENT_PREFIX + self.flag.removeprefix("--").replace(".", "_").replace("-", "_").upper()

    def parse(self, found: object, origin: str) -> object:
        """The value of what YAML holds, or would hold.

        Raises UsageError: origin (flag, variable, or file, line and key), what was found, what is allowed.
        """
        return _parsed(self.value_type, found, origin)


def option(
    key: str,
    value_type: ValueType[T],
    default: T,
    description: str,
    *,
    flag: str = "",
    reloadable: bool = False,
    fallback: Callable[[Mapping[str, str]], T] | None = None,
    default_description: str = "",
) -> T:
    """A field of a configuration dataclass that is an option; typed as its value, as dataclasses.field is."""
    declared = Option(
        key,
        value_type,
        default,
        description,
        flag or _flag_of(key),
        reloadable,
        fallback,
        default_description,
    )
    return field(default=default, metadata={"option": declared})


def table(tree: type[Any]) -> dict[str, Option]:
    """Every option of a tree of configuration dataclasses by its key, in the order they are written."""
    return {each.key: each for _, each in _walk(tree, ())}


def build(tree: type[T], values: Mapping[str, object]) -> T:
    """The tree with a value for every key."""
    arguments = {
        entry.name: build(_section(entry), values)
        if "option" not in entry.metadata
        else values[entry.metadata["option"].key]
        for entry in fields(cast("Any", tree))
    }
    return tree(**arguments)


def flatten(config: object) -> dict[str, Any]:
    """The values of a built tree by key; the inverse of build."""
    return {each.key: _follow(config, attributes) for attributes, each in _walk(type(config), ())}


def add_config_file_flag(parser: ArgumentParser) -> None:
    """Give the parser --config.file."""
    parser.add_argument(
        CONFIG_FILE_FLAG, dest=CONFIG_FILE_DEST, metavar="FILE", help="YAML configuration file"
    )


def add_flags(parser: ArgumentParser, options: Mapping[str, Option]) -> None:
    """Give the parser a flag for each option; values stay text until load_config."""
    for each in options.values():
        value_type = each.value_type
        about = f"{each.description} ({value_type.allowed}; default {shown_default(each)})"
        parser.add_argument(
            each.flag,
            dest=each.key,
            action="append" if value_type.repeatable else "store",
            nargs="?" if value_type.is_switch else None,
            const="true" if value_type.is_switch else None,
            metavar=each.flag.rpartition(".")[2].rpartition("-")[2].upper(),
            help=about.replace("%", "%%"),
        )


def argument_type(value_type: ValueType[T], flag: str) -> Callable[[str], T]:
    """For argparse's `type`: an argument that is no option is read as one. It raises UsageError."""
    return lambda text: _parsed(value_type, value_type.from_texts([text]), flag)


def unknown_environment(environ: Mapping[str, str], options: Mapping[str, Option]) -> list[str]:
    """A message for each PODJOULE_ variable that is no option.

    They are no error: Kubernetes gives pods such variables for every service (PODJOULE_PORT=tcp://...). Those
    of Kubernetes' own shape are passed over in silence.
    """
    known = {each.environment for each in options.values()} | {CONFIG_FILE_ENVIRONMENT}
    return [
        f"environment variable {name} is no option and has no effect; the nearest is {nearest(name, known)}"
        for name, value in sorted(environ.items())
        if name.startswith(ENVIRONMENT_PREFIX) and name not in known and not _is_service_link(name, value)
    ]


def shown_default(of: Option) -> str:
    """The default as documentation gives it."""
    if of.default_description:
        return of.default_description
    plain = of.value_type.plain(of.default)
    return ",".join(plain) or "empty" if isinstance(plain, list) else str(plain)


def _parsed(value_type: ValueType[T], found: object, origin: str) -> T:
    try:
        return value_type.parse(found)
    except ValueError as error:
        reason = f" ({cut(str(error))})" if str(error) else ""
        raise UsageError(f"{origin}: found {_shown(found)}{reason}; allowed: {value_type.allowed}") from None


def _walk(tree: type[Any], attributes: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Option]]:
    for entry in fields(tree):
        if "option" in entry.metadata:
            yield (*attributes, entry.name), entry.metadata["option"]
        else:
            yield from _walk(_section(entry), (*attributes, entry.name))


def _section(entry: Any) -> type[Any]:
    if entry.default_factory is MISSING:
        raise TypeError(f"{entry.name} is neither an option nor a section")
    return cast("type[Any]", entry.default_factory)


def _follow(config: object, attributes: tuple[str, ...]) -> object:
    for attribute in attributes:
        config = getattr(config, attribute)
    return config


def _flag_of(key: str) -> str:
    return "--" + "".join(f"-{char.lower()}" if char.isupper() else char for char in key)


def _is_service_link(name: str, value: str) -> bool:
    """Source: https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables."""
    return value.startswith(("tcp://", "udp://", "sctp://")) or any(
        part in name for part in ("_SERVICE_HOST", "_SERVICE_PORT", "_PORT_")
    )


def _shown(found: object) -> str:
    name = {bool: "a boolean", dict: "a mapping", list: "a list"}.get(type(found), "")
    shown = _SHORT.repr(found)
    return f"{shown}, {name}".replace("True", "true").replace("False", "false") if name else shown

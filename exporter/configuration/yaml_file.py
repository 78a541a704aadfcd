"""The YAML configuration file: known keys alone, and every mistake with its line."""

from __future__ import annotations

import codecs
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from ebpf.errors import UsageError
from exporter.configuration.nearest import cut, nearest
from exporter.configuration.options import Option

_NOTHING: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Entry:
    """One key with a value in the file, known or not; line counts from 1."""

    key: str
    node: yaml.Node
    line: int


def read_config_file(
    path: Path,
    options: Mapping[str, Option],
    elsewhere: Mapping[str, str] = _NOTHING,
    aliases: Mapping[str, str] = _NOTHING,
) -> dict[str, object]:
    """The parsed values of the keys the file sets; a key without a value (null, "") is not set, as in Go.

    elsewhere: keys of a like program's file, and what they are here. aliases: those that mean just the same
    as one of ours, and are taken.
    Raises UsageError naming file, line and key: a file that cannot be read, text that is not YAML, unknown
    keys (all, each with the nearest known one), a key that is there twice, a value that is not allowed.
    """
    known = [*options, *elsewhere, *aliases]
    entries = [
        replace(entry, key=aliases.get(entry.key, entry.key))
        for entry in _entries(path, _compose(path, _read(path)), "", known)
    ]
    unknown = [
        f"{path}:{entry.line}: unknown key {cut(entry.key)}; {_meant(entry.key, options, elsewhere)}"
        for entry in entries
        if entry.key not in options
    ]
    if unknown:
        raise UsageError("; ".join(unknown))
    values: dict[str, object] = {}
    for entry in entries:
        if entry.key in values:
            raise UsageError(f"{path}:{entry.line}: {entry.key} is set twice; keep one")
        found = _construct(path, entry)
        if found is not None and found != "":
            values[entry.key] = options[entry.key].parse(found, f"{path}:{entry.line}: {entry.key}")
    return values


def _read(path: Path) -> str:
    try:
        content = path.read_bytes()
        if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise UsageError(f"{path}:1: UTF-16 text; save it as UTF-8")
        return content.decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"{path}: configuration file cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{path}:{line}: not UTF-8 text") from None


def _compose(path: Path, content: str) -> yaml.Node | None:
    try:
        return yaml.compose(content, Loader=yaml.SafeLoader)
    except yaml.reader.ReaderError as error:
        line = content.count("\n", 0, int(error.position)) + 1
        raise UsageError(f"{path}:{line}: not valid YAML: {error.reason}") from None
    except yaml.MarkedYAMLError as error:
        raise UsageError(_invalid(path, error)) from None


def _entries(path: Path, node: yaml.Node | None, section: str, known: Collection[str]) -> Iterator[Entry]:
    """Every key with its value; a section that nobody knows is one key."""
    if node is None or _is_null(node):
        return
    line = node.start_mark.line + 1
    if not isinstance(node, yaml.MappingNode):
        raise UsageError(
            f"{path}:{line}: {section or 'the file'} must be a mapping of keys, found {_shown(node)}"
        )
    for key_node, value_node in node.value:
        key = f"{section}.{key_node.value}" if section else str(key_node.value)
        line = key_node.start_mark.line + 1
        if key not in known and any(each.startswith(f"{key}.") for each in known):
            yield from _entries(path, value_node, key, known)
        else:
            yield Entry(key, value_node, line)


def _construct(path: Path, entry: Entry) -> object:
    loader = yaml.SafeLoader("")
    try:
        return loader.construct_object(entry.node, deep=True)
    except yaml.MarkedYAMLError as error:
        raise UsageError(_invalid(path, error)) from None
    except ValueError as error:  # PyYAML builds dates and numbers without a check of its own
        raise UsageError(f"{path}:{entry.line}: {entry.key}: {cut(str(error))}") from None
    finally:
        loader.dispose()


def _meant(key: str, options: Mapping[str, Option], elsewhere: Mapping[str, str]) -> str:
    """What was meant by an unknown key, as far as one can tell."""
    if key in elsewhere:
        return elsewhere[key]
    if key.rpartition(".")[2] == "<<":
        return "merging is not taken, write out the keys"
    sections = {known.rsplit(".", count)[0] for known in options for count in range(1, known.count(".") + 1)}
    return f"the nearest known one is {nearest(key, [*options, *sections])}"


def _invalid(path: Path, error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    place = f"{path}:{mark.line + 1}" if mark else str(path)
    problem = error.problem or error.context or ""
    mend = "; indent with spaces, YAML takes no tabs" if "'\\t'" in problem else ""
    return f"{place}: not valid YAML: {cut(problem)}{mend}"


def _is_null(node: yaml.Node) -> bool:
    return node.tag == "tag:yaml.org,2002:null"


def _shown(node: yaml.Node) -> str:
    return cut(repr(node.value)) if isinstance(node, yaml.ScalarNode) else "a list"

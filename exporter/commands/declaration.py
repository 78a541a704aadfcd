"""What the file of a command declares: name, arguments, and which options of the configuration it uses."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from ebpf.errors import UsageError
from exporter.configuration.config import OPTIONS, Config
from exporter.configuration.options import CONFIG_FILE_DEST, Option, add_config_file_flag, add_flags

# Sections and keys of the configuration, by what reads them.
LOG = ("log",)
CONFIGURED = (CONFIG_FILE_DEST, *LOG)
EXPORTING = (
    *("monitor.terminatedTTL", "monitor.idlePolicy", "exporter", "cost", "carbon.provider", "carbon.zone"),
    *("carbon.intensity", "carbon.schedule", "carbon.timeZone", "carbon.pue"),
)
POD_NAMES = (
    *("kube.nodeName", "kube.enabled", "kube.mode", "kube.config"),
    *("kube.kubeletAddress", "kube.kubeletCA", "kube.kubeletInsecure", "kube.namesTimeout"),
)
MEASURING = (
    *CONFIGURED,
    *EXPORTING,
    *POD_NAMES,
    *("host", "meters", "rapl", "gpu", "ebpf", "model", "calibration", "anchors", "machine"),
    *("state", "carbon", "kube.readNode", "kube.podResources"),
)
RUNNING = (*MEASURING, "monitor.interval", "kube.podLabels", "web", "otlp", "vm", "platform")


class Parser(ArgumentParser):
    """A parser whose errors take the way of all others, and which knows no flag by half its name."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(allow_abbrev=False, **settings)

    def error(self, message: str) -> NoReturn:
        """Raise UsageError."""
        raise UsageError(f"{message} (see {self.prog} --help)")

    @property
    def flags(self) -> list[str]:
        """Every flag that it takes."""
        return [flag for action in self._actions for flag in action.option_strings]


@dataclass(frozen=True, slots=True)
class Command:
    """One command. name: all its words. uses: sections and keys of the configuration whose flags it takes.

    run: gets the parsed arguments and the configuration in force; the exit code.
    add_arguments: gives the parser what belongs to this command alone.
    """

    name: str
    help: str
    run: Callable[[Namespace, Config], int]
    uses: Sequence[str] = LOG
    add_arguments: Callable[[ArgumentParser], None] = lambda _: None

    @property
    def commands(self) -> Sequence[Command]:
        """Itself alone; as a group has it."""
        return (self,)

    @property
    def options(self) -> dict[str, Option]:
        """The options that it uses, by key."""
        return {
            key: option
            for key, option in OPTIONS.items()
            if any(key == used or key.startswith(f"{used}.") for used in self.uses)
        }

    def parser(self) -> Parser:
        """A parser of its flags and arguments, which leaves `command`, what to run, and `parser`, itself."""
        return self.fill(Parser(prog=f"podjoule {self.name}", description=self.help))

    def fill(self, parser: Parser) -> Parser:
        """Give a parser all that belongs to the command."""
        parser.set_defaults(command=self.run, parser=parser)
        if CONFIG_FILE_DEST in self.uses:
            add_config_file_flag(parser)
        add_flags(parser, self.options)
        self.add_arguments(parser)
        return parser


@dataclass(frozen=True, slots=True)
class CommandGroup:
    """Commands that begin with the same word, such as `podjoule models list`."""

    name: str
    help: str
    commands: Sequence[Command]

    def parser(self) -> Parser:
        """A parser of the rest of the words; see Command.parser."""
        parser = Parser(prog=f"podjoule {self.name}", description=self.help)
        words = parser.add_subparsers(metavar="COMMAND", required=True)
        for command in self.commands:
            word = command.name.removeprefix(f"{self.name} ")
            command.fill(words.add_parser(word, help=command.help, description=command.help))
        return parser


def add_format(parser: ArgumentParser) -> None:
    """Give a parser --format."""
    parser.add_argument(
        "--format", choices=("table", "json"), default="table", help="what is printed (default table)"
    )

"""`podjoule replay`: a recording instead of a machine; see exporter.commands.player."""

from __future__ import annotations

import contextlib
import logging
import math
import signal
import sys
import tempfile
from argparse import ArgumentParser
from pathlib import Path
from typing import TYPE_CHECKING

from ebpf.errors import UsageError
from exporter.commands.declaration import CONFIGURED, EXPORTING, Command, add_format
from exporter.configuration.config import Config

if TYPE_CHECKING:
    from exporter.commands.player import Player

log = logging.getLogger("exporter.replay")

MAX_SPEED = math.inf


def replay(config: Config, directory: Path, speed: float, output: str) -> int:
    """Play a recording to its end, and at MAX_SPEED print the whole of it as snapshot does.

    At any other speed (1: as fast as it was recorded) /metrics is served meanwhile as by run, ended
    workloads going after their time. Time in which nothing was recorded is skipped. Raises UsageError
    where there is no recording.
    """
    from exporter.commands.player import Player  # needs pyarrow, which may not be there
    from exporter.recording.reader import Recording

    recording = Recording(directory)
    with contextlib.ExitStack() as stack:
        host = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="podjoule-replay-")))
        player = Player(config, recording, host, keep_all=speed == MAX_SPEED)
        if speed != MAX_SPEED:
            _serve(stack, config, player, speed)
        for _ in player.play(speed):
            pass
        log.info("the recording has ended after %d ticks", player.n_ticks)
        if speed == MAX_SPEED:
            sys.stdout.write(player.summary(output))
    return 0


def parse_speed(text: str) -> float:
    """A number above 0, or "max". Raises UsageError."""
    with contextlib.suppress(ValueError):
        if text == "max" or 0 < float(text) < math.inf:
            return MAX_SPEED if text == "max" else float(text)
    raise UsageError(f"--speed: found {text!r}; allowed: a number above 0, or max")


def _serve(stack: contextlib.ExitStack, config: Config, player: Player, speed: float) -> None:
    from exporter.serving.http.opening import build_server
    from exporter.serving.page.application import Application
    from exporter.serving.publisher import Stage

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # what is open is closed on the way out
    server = build_server(config.web, Application(Stage(player.ticker, player.publisher)))
    server.bind()
    stack.callback(server.stop)
    server.start()
    log.info("serving on %s, at %g times the speed of the recording", ", ".join(server.bound), speed)


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("directory", type=Path, metavar="DIR", help="what record wrote")
    parser.add_argument(
        "--speed",
        type=parse_speed,
        default="max",
        metavar="N",
        help="1: as fast as it was recorded, serving /metrics; max (default): at once, printing the whole",
    )
    add_format(parser)


COMMAND = Command(
    "replay",
    "run the exporter over a recording",
    lambda arguments, config: replay(config, arguments.directory, arguments.speed, arguments.format),
    (*CONFIGURED, *EXPORTING, "kube.podLabels", "web"),
    _add_arguments,
)

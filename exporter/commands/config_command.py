"""`podjoule config check`: is the configuration of `podjoule run` right, and what is in force."""

from __future__ import annotations

import sys
from argparse import Namespace

import yaml

from exporter.commands.declaration import RUNNING, Command, CommandGroup
from exporter.configuration.config import Config, to_plain


def check(_arguments: Namespace, config: Config) -> int:
    """Print the configuration as YAML. Raises UsageError for a mistake in web.configFile."""
    if config.web.config_file is not None:
        from exporter.serving.security.security import check_web_config  # TLS and bcrypt cost start-up time

        check_web_config(config.web.config_file)
    sys.stdout.write(yaml.safe_dump(to_plain(config), sort_keys=False))
    return 0


COMMAND = CommandGroup(
    "config",
    "look at the configuration",
    (Command("config check", "check the configuration and print what is in force as YAML", check, RUNNING),),
)

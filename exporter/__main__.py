"""`python -m exporter` is `podjoule`."""

import sys

from exporter.commands.cli import main

sys.exit(main())

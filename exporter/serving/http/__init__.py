"""HTTP itself: tornado's streams and connections, held to limits, and how a request becomes a call."""

import sys

from exporter.late_modules import late

with late("html", "escape", "unescape"):  # every entity by its name, which no answer of ours has
    import tornado.escape

# tornado.log looks for curses, to colour a terminal for logs that are not its own here: half a megabyte.
if "curses" not in sys.modules:
    sys.modules["curses"] = None  # type: ignore[assignment]
    import tornado.log  # noqa: F401

    del sys.modules["curses"]

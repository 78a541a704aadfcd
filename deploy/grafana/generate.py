"""Writes the dashboards as JSON, and the Helm chart's copies: python -m deploy.grafana.generate."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from deploy.grafana.gpu import gpu
from deploy.grafana.node import node
from deploy.grafana.pod import pod
from deploy.grafana.sustainability import sustainability

DEPLOY = Path(__file__).resolve().parents[1]
RULES = ("rules.yaml", "kepler-0.9.yaml")


def files() -> dict[Path, str]:
    """What is made from the code, by its place."""
    dashboards = {"sustainability": sustainability(), "node": node(), "pod": pod(), "gpu": gpu()}
    made = {DEPLOY / "chart/files" / name: (DEPLOY / "prometheus" / name).read_text() for name in RULES}
    for name, dashboard in dashboards.items():
        text = json.dumps(dashboard, cls=JSONEncoder, indent=2, sort_keys=True) + "\n"
        made[DEPLOY / f"grafana/dashboards/{name}.json"] = text
        made[DEPLOY / f"chart/files/dashboards/{name}.json"] = text
    return made


def main() -> int:
    """Write what is not as it should be, and say so."""
    for path, text in files().items():
        if not path.exists() or path.read_text() != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            sys.stdout.write(f"wrote {path.relative_to(DEPLOY.parent)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

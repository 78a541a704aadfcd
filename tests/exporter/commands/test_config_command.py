"""`podjoule config check` says what is in force, or what is wrong."""

from __future__ import annotations

import yaml

from exporter.commands.cli import main


def test_config_check_prints_what_is_in_force(capsys, tmp_path):
    file = tmp_path / "podjoule.yaml"
    file.write_text("monitor: {interval: 1m30s}\n")
    assert main(["config", "check", "--config.file", str(file), "--kube.node-name", "n"]) == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    assert printed["monitor"] == {"interval": "1m30s", "terminatedTTL": "5m", "idlePolicy": "none"}
    assert printed["web"] == {"listenAddresses": [":28283"], "configFile": None, "maxRequests": 40}
    assert printed["kube"]["nodeName"] == "n"

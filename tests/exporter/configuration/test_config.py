"""Flags, environment, file and defaults make one configuration; every mistake says where it stands."""

from __future__ import annotations

import re
from argparse import ArgumentParser
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ebpf.errors import UsageError
from exporter.configuration.config import (
    OPTIONS,
    Config,
    changes_needing_restart,
    load_config,
    to_plain,
)
from exporter.configuration.durations import format_duration, parse_duration
from exporter.configuration.kepler_keys import KEPLER_ALIASES, KEPLER_KEYS
from exporter.configuration.option_tree import Monitor, Prometheus
from exporter.configuration.options import add_config_file_flag, add_flags, flatten, unknown_environment


def load(*flags: str, environ: dict[str, str] | None = None, file: Path | None = None) -> Config:
    parser = ArgumentParser(allow_abbrev=False)
    add_config_file_flag(parser)
    add_flags(parser, OPTIONS)
    named = ["--config.file", str(file)] if file else []
    return load_config(parser.parse_args([*named, *flags]), environ or {})


@pytest.fixture
def write(tmp_path):
    def written(text: str | bytes) -> Path:
        path = tmp_path / "podjoule.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return written


def refused(*flags: str, **where) -> str:
    with pytest.raises(UsageError) as raised:
        load(*flags, **where)
    message = str(raised.value)
    assert "\n" not in message
    return message


def test_the_defaults_are_those_of_the_design():
    config = load()
    assert config.web.listen_addresses == (":28283",)
    assert config.monitor == Monitor(interval_seconds=5.0, terminated_ttl_seconds=300.0, idle_policy="none")
    assert config.exporter.prometheus.metrics_level == ("node", "container", "vm", "pod")
    assert (config.host.sysfs, config.host.procfs) == (Path("/sys"), Path("/proc"))
    assert config.rapl.zones == ()
    assert config.model == "auto"
    assert config.kube.node_name


def test_a_flag_goes_before_the_environment_before_the_file_before_the_default(write):
    file = write("monitor:\n  interval: 1s\n")
    environ = {"PODJOULE_MONITOR_INTERVAL": "2s"}
    assert load().monitor.interval_seconds == 5
    assert load(file=file).monitor.interval_seconds == 1
    assert load(file=file, environ=environ).monitor.interval_seconds == 2
    assert load("--monitor.interval", "3s", file=file, environ=environ).monitor.interval_seconds == 3


def test_the_file_has_keplers_keys(write):
    file = write(
        """
log: {level: warn, format: json}
host: {sysfs: /host/sys, procfs: /host/proc, cgroupfs: /host/cgroup}
monitor: {interval: 500ms, terminatedTTL: 1m30s, idlePolicy: even}
rapl: {zones: [dram, package]}
ebpf: {loader: bcc, cgroupHierarchy: v2, mapEntries: 1024}
model: /models/mine.json
web: {listenAddresses: [":9100", "[::1]:9100"]}
exporter: {prometheus: {metricsLevel: [pod, node]}}
kube: {nodeName: worker-1}
"""
    )
    config = load(file=file)
    assert config.log.level == "warning"
    assert config.host.cgroupfs == Path("/host/cgroup")
    assert config.monitor == Monitor(0.5, 90.0, "even")
    assert config.rapl.zones == ("package", "dram")
    assert config.ebpf.map_entries == 1024
    assert config.model == "/models/mine.json"
    assert config.web.listen_addresses == (":9100", "[::1]:9100")
    assert config.exporter.prometheus.metrics_level == ("node", "pod")
    assert config.kube.node_name == "worker-1"


def test_what_is_printed_reads_back_as_the_same_configuration(write):
    config = load("--rapl.zones", "dram,core", "--monitor.terminated-ttl", "0", "--model", "none")
    assert load(file=write(yaml.safe_dump(to_plain(config)))) == config


def test_the_file_can_be_named_in_the_environment_and_is_read_again(write):
    file = write("ebpf: {loader: core}\n")
    environ = {"PODJOULE_CONFIG_FILE": str(file)}
    assert load(environ=environ).ebpf.loader == "core"
    write("ebpf: {loader: none}\n")
    assert load(environ=environ).ebpf.loader == "none"


@pytest.mark.parametrize(
    "text", ["", "# nothing\n", "---\n", "monitor:\n", "monitor:\n  interval:\n", "monitor: ~\n"]
)
def test_a_key_without_a_value_is_not_set(write, text):
    assert load(file=write(text)) == load()


def test_lists_come_from_repeated_flags_and_from_commas():
    config = load(
        "--web.listen-address", ":1,:2", "--web.listen-address", ":3", "--metrics.level", "node,pod"
    )
    assert config.web.listen_addresses == (":1", ":2", ":3")
    assert config.exporter.prometheus.metrics_level == ("node", "pod")
    assert load(environ={"PODJOULE_RAPL_ZONES": "core, dram"}).rapl.zones == ("core", "dram")


def test_an_empty_variable_is_not_set():
    assert load(environ={"PODJOULE_MODEL": "", "PODJOULE_CONFIG_FILE": ""}).model == "auto"


def test_the_node_name_is_told_or_that_of_the_pod_spec_or_of_the_host():
    assert load(environ={"NODE_NAME": "worker-7"}).kube.node_name == "worker-7"
    assert load("--kube.node-name", "mine", environ={"NODE_NAME": "worker-7"}).kube.node_name == "mine"


@pytest.mark.parametrize(
    ("text", "line", "unknown", "near"),
    [
        ("log: {level: info}\nmonitor:\n  intervall: 5s\n", 3, "monitor.intervall", "monitor.interval"),
        ("montor:\n  interval: 5s\n", 1, "montor", "monitor"),
        (
            "exporter:\n  prometheus:\n    metricsLevels: []\n",
            3,
            "exporter.prometheus.metricsLevels",
            "exporter.prometheus.metricsLevel",
        ),
        ("web:\n  listenaddresses: [':1']\n", 2, "web.listenaddresses", "web.listenAddresses"),
    ],
)
def test_an_unknown_key_names_file_line_and_the_nearest_known_one(write, text, line, unknown, near):
    file = write(text)
    message = f"{file}:{line}: unknown key {unknown}; the nearest known one is {near}"
    assert refused(file=file) == message


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("monitor: [interval\n", [":2", "not valid YAML"]),
        ("log:\n  level: 'info\n", ["not valid YAML"]),
        ("a: 1\n\tb: 2\n", [":2", "not valid YAML"]),
        ("log: {level: info}\n---\nmodel: none\n", ["not valid YAML"]),
        ("model: !!python/object:os.system x\n", [":1", "not valid YAML"]),
        ("model: \x07\n", [":1", "not valid YAML"]),
        (b"model: none\nkube: {nodeName: \xff}\n", [":2", "UTF-8"]),
        ("- monitor\n", [":1", "mapping"]),
        ("model: none\nmonitor: 5s\n", [":2", "monitor must be a mapping", "'5s'"]),
        ("model: none\nmodel: auto\n", [":2", "model is set twice"]),
        ("monitor:\n  interval: 5\n", [":2: monitor.interval", "found 5", "500ms"]),
        ("monitor:\n  interval: 1ms\n", [":2", "'1ms'", "at least 100ms"]),
        ("monitor:\n  interval: 2024-99-99\n", [":2: monitor.interval"]),
        ("log: {level: no}\n", [":1: log.level", "false, a boolean", "debug, info, warning, error"]),
        ("rapl:\n  zones: package\n", [":2: rapl.zones", "'package'", "a list of package, core"]),
        ("rapl:\n  zones: [pakage]\n", [":2: rapl.zones", "the nearest to 'pakage' is 'package'"]),
        ("ebpf: {mapEntries: '64'}\n", ["ebpf.mapEntries", "'64'", "a whole number from 64 to 1048576"]),
        ("ebpf: {mapEntries: 63}\n", ["found 63"]),
        ("ebpf: {mapEntries: true}\n", ["true, a boolean"]),
        ("kube: {nodeName: 12}\n", ["kube.nodeName", "found 12"]),
        ("web: {listenAddresses: ['28283']}\n", ["listen address '28283'"]),
        ("web: {listenAddresses: []}\n", ["empty"]),
        ("exporter: {prometheus: {metricsLevel: []}}\n", ["empty"]),
        ("kube: {enabled: maybe}\n", ["kube.enabled", "auto, true, false"]),
        ("kube: {kubeletInsecure: 'yes'}\n", ["kube.kubeletInsecure", "true or false"]),
    ],
)
def test_a_mistake_in_the_file_names_file_line_finding_and_what_is_allowed(write, text, parts):
    file = write(text)
    message = refused(file=file)
    assert message.startswith(str(file))
    assert all(part in message for part in parts), message


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    assert refused(file=tmp_path / "none.yaml").startswith(f"{tmp_path}/none.yaml: ")
    assert "directory" in refused(file=tmp_path).lower()


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--monitor.interval", "5"),
        ("--monitor.interval", "99ms"),
        ("--monitor.interval", ""),
        ("--log.level", "trace"),
        ("--ebpf.map-entries", "0x40"),
        ("--ebpf.map-entries", "1048577"),
        ("--ebpf.loader", "cores"),
        ("--web.listen-address", "localhost:65536"),
        ("--metrics.level", "pods"),
        ("--host.sysfs", ""),
        ("--model", " "),
    ],
)
def test_a_wrong_value_names_the_flag_or_the_variable_it_came_from(flag, value):
    message = refused(f"{flag}={value}")
    assert message.startswith(f"{flag}: found ")
    assert "; allowed: " in message
    told = next(told for told in OPTIONS.values() if told.flag == flag)
    if value:
        assert refused(environ={told.environment: value}).startswith(f"{told.environment}: found ")


def test_a_wrong_value_is_refused_even_where_a_flag_goes_before_it(write):
    refused("--monitor.interval", "5s", file=write("monitor: {interval: soon}\n"))


def test_an_unknown_variable_is_told_and_those_of_kubernetes_services_are_not():
    environ = {
        "PODJOULE_MONITOR_INTERVALL": "5s",
        "PODJOULE_PORT": "tcp://10.0.0.1:28283",
        "PODJOULE_PORT_28283_TCP_ADDR": "10.0.0.1",
        "PODJOULE_SERVICE_HOST": "10.0.0.1",
        "PODJOULE_SERVICE_PORT_HTTP": "28283",
        "PODJOULE_CONFIG_FILE": "x",
        "PODJOULE_MODEL": "none",
        "HOME": "/",
    }
    (message,) = unknown_environment(environ, OPTIONS)
    assert "PODJOULE_MONITOR_INTERVALL" in message
    assert message.endswith("PODJOULE_MONITOR_INTERVAL")


def test_changes_say_which_need_a_restart():
    old = Config()
    assert changes_needing_restart(old, Config()) == []
    live = replace(old, monitor=replace(old.monitor, interval_seconds=1.0, terminated_ttl_seconds=1.0))
    assert changes_needing_restart(old, live) == []
    dead = replace(
        old, web=replace(old.web, listen_addresses=(":1",)), ebpf=replace(old.ebpf, map_entries=64)
    )
    assert changes_needing_restart(old, dead) == ["ebpf.mapEntries", "web.listenAddresses"]


def test_the_configuration_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        Config().model = "none"


def test_keys_flags_and_variables_are_told_once_each():
    options = list(OPTIONS.values())
    assert len({each.flag for each in options}) == len({each.environment for each in options}) == len(options)
    assert OPTIONS["web.listenAddresses"].flag == "--web.listen-address"
    assert OPTIONS["web.listenAddresses"].environment == "PODJOULE_WEB_LISTEN_ADDRESS"
    assert OPTIONS["monitor.terminatedTTL"].flag == "--monitor.terminated-ttl"
    assert OPTIONS["ebpf.cgroupHierarchy"].flag == "--ebpf.cgroup-hierarchy"
    assert flatten(Config(model="x"))["model"] == "x"
    assert Prometheus().metrics_level == OPTIONS["exporter.prometheus.metricsLevel"].default


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5s", 5),
        ("500ms", 0.5),
        ("1m30s", 90),
        ("1.5h", 5400),
        (".5s", 0.5),
        ("1h1us", 3600.000001),
        ("2us3µs4μs", 9e-6),
        ("5.s", 5),
        ("0", 0),
    ],
)
def test_durations_are_gos(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        *("", "5", "s", "5 s", "-5s", "+5s", "-0", "5sec", ".s", "1e3s", "٣s"),
        *("1d", "1w", "1mm", "1y", "1h 5m", "1h,5m", "1h--5m", "1.2.3s", "300000000h", f"{10**400}h"),
    ],
)
def test_what_go_would_not_take_is_no_duration(text):
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


@given(st.integers(min_value=0, max_value=10**15))
def test_a_duration_survives_being_written(microseconds):
    seconds = microseconds / 1e6
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds, abs=1e-9, rel=1e-12)


@pytest.mark.parametrize("address", [":28283", "localhost:0", "0.0.0.0:80", "[::1]:80"])
def test_an_address_is_kept_as_it_is_written(address):
    assert load("--web.listen-address", address).web.listen_addresses == (address,)


@pytest.mark.parametrize("address", ["80", "::1:80", "[::1]", ":-1", ":65536", "http://a:1"])
def test_anything_else_is_no_address(address):
    assert repr(address) in refused("--web.listen-address", address)


def test_an_empty_path_is_none_as_in_keplers_sample(write):
    config = load(file=write('web: {configFile: ""}\nkube: {config: ""}\n'))
    assert (config.web.config_file, config.kube.config) == (None, None)


KEPLERS = """
log: {level: DEBUG, format: Text}
monitor: {interval: 5s, staleness: 1000ms, maxTerminated: 100, minTerminatedEnergyThreshold: 10}
rapl: {zones: []}
exporter:
  stdout: {enabled: false}
  prometheus: {enabled: true, debugCollectors: [go], metricsLevel: [node, process, container, vm, pod]}
web: {configFile: "", listenAddresses: [":28282"]}
debug: {pprof: {enabled: false}}
dev: {fake-cpu-meter: {enabled: false, zones: []}}
kube: {enabled: false, config: "", nodeName: "", podInformer: {mode: kubelet, pollInterval: 15s}}
cpu: {preferredMeters: [rapl, hwmon]}
experimental:
  platform: {redfish: {enabled: false, httpTimeout: 5s}}
  gpu: {enabled: true, idlePower: 30}
  hwmon: {enabled: true}
intervall: 5s
"""


def test_every_unknown_key_is_told_at_once_and_of_keplers_what_it_is_here(write):
    file = write(KEPLERS)
    message = refused(file=file)
    told = [part for part in message.split(f"{file}:") if part]
    assert len(told) == len(KEPLER_KEYS) + 1
    for key, meant in KEPLER_KEYS.items():
        assert f"unknown key {key}; {meant}" in message
    assert told[-1] == "17: unknown key intervall; the nearest known one is monitor.interval"


def test_keplers_keys_are_none_of_ours_and_lead_to_some():
    assert not KEPLER_KEYS.keys() & OPTIONS.keys()
    named = re.findall(r"\b(?:monitor|kube)\.\w+", " ".join(KEPLER_KEYS.values()))
    assert set(named) == {"monitor.terminatedTTL", "kube.mode"} <= OPTIONS.keys()
    assert set(KEPLER_ALIASES.values()) <= OPTIONS.keys()


def test_an_empty_text_in_the_file_means_the_default(write):
    file = write('kube: {nodeName: "", config: ""}\nmodel: ""\nmonitor: {interval: ""}\n')
    assert load(file=file) == load()


def test_words_are_taken_in_any_case(write):
    config = load(
        file=write("log: {level: WARN, format: JSON}\nrapl: {zones: [Package, DRAM]}\nmodel: None\n")
    )
    assert (config.log.level, config.log.format) == ("warning", "json")
    assert (config.rapl.zones, config.model) == (("package", "dram"), "none")
    assert load("--ebpf.loader", "CORE").ebpf.loader == "core"


def test_a_byte_order_mark_is_no_part_of_the_first_key(write):
    assert load(file=write(b"\xef\xbb\xbflog:\n  level: debug\n")).log.level == "debug"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
def test_another_encoding_is_told(write, encoding):
    message = refused(file=write("\ufefflog:\n  level: info\n".encode(encoding)))
    assert message.endswith(":1: UTF-16 text; save it as UTF-8")


def test_a_tab_is_told(write):
    assert "indent with spaces, YAML takes no tabs" in refused(file=write("log:\n\tlevel: info\n"))


@pytest.mark.parametrize(
    "text",
    [
        "log: {level: %s}\n",
        "log: %s\n",
        "model: [%s]\n",
        "%s: 1\n",
        "web: {listenAddresses: ['%s']}\n",
        "monitor: {interval: %s}\n",
        "model: !%s x\n",
        "carbon: {zone: %s}\n",
    ],
)
def test_what_is_megabytes_long_is_not_printed_whole(write, text):
    assert len(refused(file=write(text % ("x" * 1_000_000)))) < 2_000


def test_merging_is_told(write):
    message = refused(file=write("monitor:\n  <<: {interval: 5s}\n"))
    assert "unknown key monitor.<<; merging is not taken, write out the keys" in message

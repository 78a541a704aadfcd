"""What single values do, which of them are refused, and the manifest that the repository carries."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.commands.cli import declared
from tests.deploy.chart import CHART, ROOT, VALUES, Refused, helm, render, render_with, run

MANIFEST = ROOT / "deploy/kubernetes.yaml"
BY_NAME = {path.stem: path for path in VALUES}


def test_the_manifest_is_what_the_chart_renders() -> None:
    made = subprocess.run(
        [ROOT / "deploy/manifest"],
        capture_output=True,
        text=True,
        check=True,
        env={"HELM": helm(), "PATH": "/usr/bin:/bin"},
    )
    assert MANIFEST.read_text() == made.stdout


def test_the_manifest_brings_a_namespace_that_admits_host_paths() -> None:
    objects = list(yaml.safe_load_all(MANIFEST.read_text()))
    (namespace,) = (found for found in objects if found["kind"] == "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "privileged"
    homes = {found["metadata"].get("namespace", "") for found in objects}
    assert homes == {"", namespace["metadata"]["name"]}


def test_the_versions_are_the_programs() -> None:
    from ebpf.version import VERSION

    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == VERSION
    assert render(BY_NAME["default"]).container["image"] == f"podjoule:{VERSION}"
    assert render(BY_NAME["bcc"]).container["image"] == f"podjoule:{VERSION}-bcc"


def test_a_configuration_is_mounted_as_a_directory_and_its_change_replaces_no_pod() -> None:
    before = render_with({"config": {"log": {"level": "info"}}})
    after = render_with({"config": {"log": {"level": "debug"}}})
    assert before.configuration != after.configuration
    assert before.one("DaemonSet") == after.one("DaemonSet")
    assert "subPath" not in before.mounts["config"]


def test_submounts_of_the_cgroups_are_read_only_where_kubernetes_can() -> None:
    assert render(BY_NAME["default"]).mounts["cgroup"]["recursiveReadOnly"] == "IfPossible"
    assert "recursiveReadOnly" not in render(BY_NAME["default"], "1.29.0").mounts["cgroup"]


def test_service_links_are_off_since_their_variables_look_like_options() -> None:
    assert render(BY_NAME["default"]).pod["enableServiceLinks"] is False


def test_continuity_keeps_the_state_on_the_node_and_pins_in_a_directory_of_its_own() -> None:
    rendered = render(BY_NAME["continuity"])
    assert rendered.volumes["state"]["hostPath"] == {
        "path": "/var/lib/metering/podjoule",
        "type": "DirectoryOrCreate",
    }
    assert rendered.volumes["pins"]["hostPath"] == {"path": "/run/bpf/podjoule", "type": "DirectoryOrCreate"}
    assert rendered.environment["PODJOULE_STATE_DIR"] == rendered.mounts["state"]["mountPath"]
    assert rendered.environment["PODJOULE_EBPF_PIN"] == rendered.mounts["pins"]["mountPath"]


def test_by_default_nothing_is_pinned_and_the_state_ends_with_the_pod() -> None:
    rendered = render(BY_NAME["default"])
    assert "emptyDir" in rendered.volumes["state"]
    assert "pins" not in rendered.volumes
    assert "PODJOULE_EBPF_PIN" not in rendered.environment


def test_pins_are_mounted_where_the_default_apparmor_profile_lets_one_write() -> None:
    # containerd's and moby's templates deny writing to /sys/fs/[^c]*/**
    assert render(BY_NAME["continuity"]).mounts["pins"]["mountPath"].startswith("/host/")


def test_two_minutes_are_given_for_the_start_and_one_node_at_a_time_is_replaced() -> None:
    rendered = render(BY_NAME["default"])
    startup = rendered.container["startupProbe"]
    assert (startup["periodSeconds"], startup["failureThreshold"]) == (2, 60)
    strategy = rendered.one("DaemonSet")["spec"]["updateStrategy"]
    assert strategy == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}}


def test_bcc_has_a_place_to_compile_in() -> None:
    rendered = render(BY_NAME["bcc"])
    assert rendered.volumes["tmp"] == {"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}}
    assert rendered.mounts["tmp"]["mountPath"] == "/tmp"
    assert rendered.environment["PODJOULE_EBPF_LOADER"] == "bcc"
    assert "tmp" not in render(BY_NAME["default"]).volumes


def test_the_kubelets_ca_is_the_mounted_one() -> None:
    rendered = render(BY_NAME["kubelet-own-ca"])
    assert rendered.volumes["kubelet-ca"]["configMap"]["name"] == "kubelet-ca"
    file = f"{rendered.mounts['kubelet-ca']['mountPath']}/bundle.pem"
    assert rendered.environment["PODJOULE_KUBE_KUBELET_CA"] == file
    assert rendered.environment["PODJOULE_KUBE_KUBELET_ADDRESS"] == "https://10.0.0.1:10250"
    assert "PODJOULE_KUBE_KUBELET_INSECURE" not in rendered.environment
    assert render(BY_NAME["kubelet-insecure"]).environment["PODJOULE_KUBE_KUBELET_INSECURE"] == "true"


def test_a_meter_takes_nothing_where_it_is_not_asked_for() -> None:
    rendered = render(BY_NAME["default"])
    assert not {"pod-resources", "nvidia", "redfish", "vm"} & rendered.volumes.keys()
    assert not any("POD_RESOURCES" in name or "NVIDIA" in name for name in rendered.environment)
    assert "runtimeClassName" not in rendered.pod
    assert rendered.container["resources"]["limits"].keys() == {"memory"}


def test_the_runtime_of_gpus_is_asked_for_their_library_alone() -> None:
    rendered = render(BY_NAME["gpu-runtime"])
    assert rendered.pod["runtimeClassName"] == "nvidia"
    assert rendered.environment["NVIDIA_DRIVER_CAPABILITIES"] == "utility"
    assert rendered.container["securityContext"]["privileged"] is False
    assert "nvidia" not in rendered.volumes


def test_the_kubelet_s_socket_is_in_the_folder_that_is_mounted() -> None:
    """A socket that is mounted itself would be the old one once the kubelet has made it anew."""
    rendered = render(BY_NAME["gpu-runtime"])
    folder = rendered.mounts["pod-resources"]
    assert folder["readOnly"] is True
    assert rendered.environment["PODJOULE_KUBE_POD_RESOURCES"] == f"{folder['mountPath']}/kubelet.sock"


def test_a_library_on_the_node_is_found_where_it_is_mounted() -> None:
    rendered = render(BY_NAME["gpu-library"])
    assert rendered.environment["LD_LIBRARY_PATH"] == rendered.mounts["nvidia"]["mountPath"]


def test_a_device_plugin_hands_the_bmc_s_device_over() -> None:
    rendered = render(BY_NAME["ipmi-plugin"])
    assert rendered.container["resources"]["limits"] == {"memory": "256Mi", "squat.ai/ipmi": "1"}
    assert rendered.environment["PODJOULE_PLATFORM_IPMI_DEVICE"] == "/dev/ipmi1"


def test_passwords_of_bmcs_are_root_s_alone_and_bmcs_may_be_asked() -> None:
    rendered = render(BY_NAME["redfish"])
    assert rendered.volumes["redfish"]["secret"] == {"secretName": "bmc", "defaultMode": 0o400}
    file = f"{rendered.mounts['redfish']['mountPath']}/bmcs.yaml"
    assert rendered.environment["PODJOULE_PLATFORM_REDFISH_CONFIG_FILE"] == file
    assert "bmc" not in {secret["metadata"]["name"] for secret in rendered.of_kind("Secret")}
    egress = rendered.one("NetworkPolicy")["spec"]["egress"]
    assert {
        "ports": [{"port": 443, "protocol": "TCP"}],
        "to": [{"ipBlock": {"cidr": "10.9.0.0/16"}}],
    } in egress


def test_guests_are_found_by_the_node_s_processes() -> None:
    rendered = render(BY_NAME["vm-share"])
    assert rendered.mounts["proc"]["readOnly"] is True
    assert rendered.volumes["proc"]["hostPath"] == {"path": "/proc", "type": "Directory"}
    assert rendered.environment["PODJOULE_HOST_PROCFS"] == rendered.mounts["proc"]["mountPath"]
    assert "proc" not in render(BY_NAME["default"]).volumes


def test_what_is_pushed_goes_with_headers_and_a_ca_from_the_secret() -> None:
    rendered = render(BY_NAME["otlp"])
    folder = rendered.mounts["otlp"]["mountPath"]
    assert rendered.volumes["otlp"]["secret"] == {"secretName": "collector", "defaultMode": 0o400}
    assert rendered.environment["PODJOULE_OTLP_HEADERS_FILE"] == f"{folder}/auth"
    assert rendered.environment["PODJOULE_OTLP_CA_FILE"] == f"{folder}/ca.crt"
    egress = rendered.one("NetworkPolicy")["spec"]["egress"]
    (way,) = (rule for rule in egress if rule["ports"][0]["port"] == 4318)
    assert way["to"] == [
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    ]


def test_the_provider_s_token_is_the_secret_s() -> None:
    rendered = render(BY_NAME["carbon"])
    file = f"{rendered.mounts['carbon']['mountPath']}/api-token"
    assert rendered.environment["PODJOULE_CARBON_TOKEN_FILE"] == file


def test_the_door_for_teams_is_the_one_of_the_example() -> None:
    example = list(yaml.safe_load_all((ROOT / "deploy/tenants/tenants.yaml").read_text()))
    (theirs,) = (found["spec"]["template"]["spec"] for found in example if found["kind"] == "Deployment")
    rendered = render(BY_NAME["tenants"])
    ours = rendered.one("Deployment")["spec"]["template"]["spec"]
    told = [dict(each) for each in (*theirs["containers"], *ours["containers"])]
    upstream = "-upstream=http://prometheus.monitoring.svc:9090"
    for each in told:
        del each["image"]
        each["args"] = [upstream if arg.startswith("-upstream=") else arg for arg in each.get("args", [])]
    assert told[:2] == told[2:]
    assert {volume["name"] for volume in ours["volumes"]} == {volume["name"] for volume in theirs["volumes"]}
    rules = [rule["spec"] for rule in rendered.of_kind("PrometheusRule")]
    assert yaml.safe_load((ROOT / "deploy/tenants/rules.yaml").read_text()) in rules


@pytest.mark.parametrize("name", ["reports", "reports-claim"])
def test_what_collects_accounts_is_a_command_line_of_podjoule_s(name: str, tmp_path: Path) -> None:
    """The shell of the image's kind runs it, with a podjoule that says what it was told."""
    rendered = render(BY_NAME[name])
    job = rendered.one("CronJob")["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = job["containers"]
    teller = tmp_path / "podjoule"
    teller.write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
    teller.chmod(0o755)
    told = subprocess.run(
        [*container["command"], *container["args"]],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert told[0] == "report"
    arguments, unknown = declared("report").parser().parse_known_args(told[1:])
    assert not unknown
    yesterday = datetime.now(UTC) - timedelta(days=1)
    assert arguments.begin == f"{yesterday:%Y-%m}-01"
    assert arguments.cluster == "prod"
    assert arguments.store == ("s3://accounts/energy" if name == "reports" else "/accounts")


def test_the_rules_are_those_of_the_file() -> None:
    ours, keplers = render(BY_NAME["service-monitor"]).of_kind("PrometheusRule")
    assert ours["spec"] == yaml.safe_load((CHART / "files/rules.yaml").read_text())
    assert keplers["spec"] == yaml.safe_load((CHART / "files/kepler-0.9.yaml").read_text())
    assert {ours["metadata"]["name"], keplers["metadata"]["name"]} == {"podjoule", "podjoule-kepler-09"}
    assert ours["metadata"]["labels"] == keplers["metadata"]["labels"]
    assert not render(BY_NAME["default"]).of_kind("PrometheusRule")


def test_keplers_old_names_are_recorded_only_where_they_are_asked_for() -> None:
    rendered = render_with({"prometheusRule": {"enabled": True}})
    assert rendered.one("PrometheusRule")["metadata"]["name"] == "podjoule"


def test_each_dashboard_is_a_config_map_that_the_sidecar_collects() -> None:
    dashboards = {path.name: path.read_text() for path in (CHART / "files/dashboards").glob("*.json")}
    rendered = render(BY_NAME["service-monitor"])
    maps = [found for found in rendered.of_kind("ConfigMap") if "config.yaml" not in found["data"]]
    found = {name: content for each in maps for name, content in each["data"].items()}
    assert {name: yaml.safe_load(text) for name, text in found.items()} == {
        name: yaml.safe_load(text) for name, text in dashboards.items()
    }
    assert all(each["metadata"]["labels"]["grafana_dashboard"] == "yes" for each in maps)
    assert all(len(str(each)) < 1_000_000 for each in maps)


def test_a_policy_lets_out_what_the_mode_needs() -> None:
    def ports(name: str) -> list[list[Any]]:
        policy = render(BY_NAME[name]).one("NetworkPolicy")["spec"]
        assert policy["policyTypes"] == ["Ingress", "Egress"]
        return [[port["port"] for port in rule["ports"]] for rule in policy.get("egress") or []]

    assert ports("network-policy") == [[6443], [53, 53], [443]]
    assert ports("network-policy-kubelet") == [[10250], [53, 53]]
    assert ports("read-node") == [[443, 6443], [10250], [53, 53]]
    assert ports("without-kubernetes") == []
    policy = render(BY_NAME["network-policy"]).one("NetworkPolicy")["spec"]
    api_server = [peer["ipBlock"]["cidr"] for peer in policy["egress"][0]["to"]]
    assert api_server == ["10.0.0.0/24", "fd00::/64"]
    (ingress,) = policy["ingress"]
    assert ingress["ports"] == [{"port": "metrics", "protocol": "TCP"}]
    peers = [peer["podSelector"]["matchLabels"]["app.kubernetes.io/name"] for peer in ingress["from"]]
    assert peers == ["prometheus", "podjoule-test"]
    (ingress,) = render(BY_NAME["no-test"]).one("NetworkPolicy")["spec"]["ingress"]
    assert ingress["from"] == [{"podSelector": {"matchLabels": {"app": "prometheus"}}}]
    assert ports("otlp") == [[443, 6443], [4318], [53, 53]]
    assert ports("carbon") == [[443, 6443], [443], [53, 53]]


CONTRADICTIONS = {
    "host-in-config": ({"config": {"host": {"sysfs": "/x"}}}, "set hostPaths"),
    "kube-in-config": ({"config": {"kube": {"mode": "kubelet"}}}, "config.kube"),
    "state-in-config": ({"config": {"state": {"dir": "/x"}}}, "config.state"),
    "pin-in-config": ({"config": {"ebpf": {"pin": "/x"}}}, "set continuity"),
    "pins-without-counters": (
        {"continuity": {"enabled": True}, "state": {"type": "emptyDir"}},
        "leave it empty",
    ),
    "pins-among-others": (
        {"continuity": {"enabled": True, "pinPath": "/sys/fs/bpf"}},
        "name a directory below it",
    ),
    "pins-by-bcc": ({"continuity": {"enabled": True}, "bcc": {"enabled": True}}, "bcc cannot pin"),
    "two-pods-on-one-state": (
        {
            "state": {"type": "hostPath"},
            "updateStrategy": {"rollingUpdate": {"maxSurge": "10%", "maxUnavailable": 0}},
        },
        "one pod at a time",
    ),
    "address-in-config": ({"config": {"web": {"listenAddresses": [":1"]}}}, "set port"),
    "web-file-in-config": ({"config": {"web": {"configFile": "/x"}}}, "set web.config"),
    "two-web-configs": (
        {"web": {"existingSecret": "a", "config": {"http_server_config": {"http2": False}}}},
        "give one",
    ),
    "tls-without-certificate": ({"web": {"tls": {"enabled": True}}}, "give web.tls.existingSecret"),
    "half-a-pair": ({"web": {"tls": {"enabled": True, "certificate": "x"}}}, "give both or none"),
    "two-certificates": (
        {"web": {"tls": {"enabled": True, "existingSecret": "a", "certificate": "x", "key": "y"}}},
        "give one of them",
    ),
    "certificate-and-no-tls": ({"web": {"tls": {"existingSecret": "a"}}}, "set it to true"),
    "tls-past-the-chart": (
        {"web": {"config": {"tls_server_config": {"cert_file": "/x"}}}},
        "web.tls.enabled",
    ),
    "probes-without-certificate": (
        {
            "web": {
                "tls": {"enabled": True, "existingSecret": "a"},
                "config": {"tls_server_config": {"client_auth_type": "RequireAndVerifyClientCert"}},
            }
        },
        "set probes.type to tcp",
    ),
    "monitor-without-service": (
        {"serviceMonitor": {"enabled": True}, "service": {"enabled": False}},
        "needs service.enabled",
    ),
    "runtime-without-gpus": ({"gpu": {"runtimeClassName": "nvidia"}}, "set it to true"),
    "two-libraries": (
        {"gpu": {"enabled": True, "runtimeClassName": "nvidia", "libraryPath": "/usr/lib64"}},
        "give one of them",
    ),
    "device-without-rights": ({"ipmi": {"enabled": True}}, "set ipmi.resource, or privileged"),
    "resource-without-meter": ({"ipmi": {"resource": "squat.ai/ipmi"}}, "set it to true"),
    "share-in-config": ({"config": {"vm": {"shareDir": "/run/guests"}}}, "set vm.shareDir"),
    "headers-without-endpoint": ({"otlp": {"existingSecret": "a"}}, "config.otlp.endpoint; set it"),
    "two-headers": (
        {
            "otlp": {"existingSecret": "a"},
            "config": {"otlp": {"endpoint": "http://a", "headersFile": "/a"}},
        },
        "give one of them",
    ),
    "token-for-a-table": ({"carbon": {"existingSecret": "a"}}, "set config.carbon.provider"),
    "two-tokens": (
        {
            "carbon": {"existingSecret": "a"},
            "config": {"carbon": {"provider": "watttime", "zone": "SPP", "tokenFile": "/a"}},
        },
        "give one of them",
    ),
    "service-without-zone": ({"config": {"carbon": {"provider": "WattTime"}}}, "config.carbon.zone"),
    "price-without-currency": ({"config": {"cost": {"pricePerKwh": 0}}}, "config.cost.currency"),
    "prices-without-currency": (
        {"config": {"cost": {"schedule": ["00:00-24:00=0.3"]}}},
        "config.cost.currency",
    ),
    "two-bmc-files": (
        {"redfish": {"existingSecret": "a"}, "config": {"platform": {"redfish": {"configFile": "/a"}}}},
        "give one of them",
    ),
    "tenants-without-rules": ({"prometheusRule": {"tenants": True}}, "set prometheusRule.enabled"),
    "door-without-tokens": ({"tenants": {"enabled": True, "tlsSecret": "a"}}, "give tenants.existingSecret"),
    "reports-without-cluster": ({"reports": {"enabled": True, "existingClaim": "a"}}, "give one"),
    "reports-without-store": ({"reports": {"enabled": True, "cluster": "a"}}, "one of them"),
    "two-monitors": ({"serviceMonitor": {"enabled": True}, "podMonitor": {"enabled": True}}, "scraped twice"),
}


@pytest.mark.parametrize(("values", "message"), CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_values_that_contradict_each_other_are_refused_with_the_mend(
    values: dict[str, Any], message: str
) -> None:
    with pytest.raises(Refused, match=message):
        render_with(values)


WRONG: dict[str, dict[str, Any]] = {
    "unknown": {"hostPID": True},
    "unknown-below": {"kube": {"kubeletInsecure": True}},
    "mode": {"kube": {"mode": "both"}},
    "port": {"port": 70000},
    "port-text": {"port": "28283"},
    "kubelet-resource": {"rbac": {"kubeletResource": "nodes"}},
    "plain-kubelet": {"kube": {"kubelet": {"address": "http://10.0.0.1:10255"}}},
    "relative-path": {"hostPaths": {"cgroup": "sys/fs/cgroup"}},
    "path-with-slash": {"hostPaths": {"powercap": "/sys/devices/virtual/powercap/"}},
    "shallow-path": {"hostPaths": {"powercap": "/powercap"}},
    "state": {"state": {"type": "memory"}},
    "pin-with-dot": {"continuity": {"pinPath": "/sys/fs/bpf/pod.joule"}},
    "pin-everywhere": {"continuity": {"pinPath": "/bpf"}},
    "prefixed-capability": {"capabilities": ["CAP_BPF"]},
    "all-capabilities": {"capabilities": ["ALL"]},
    "label-number": {"podLabels": {"a": 1}},
    "tag-in-name": {"image": {"repository": "podjoule:latest"}},
    "digest": {"image": {"digest": "sha256:12"}},
    "probe": {"probes": {"type": "exec"}},
    "probe-field": {"probes": {"liveness": {"period": 1}}},
    "interval": {"serviceMonitor": {"interval": "15"}},
    "cidr": {"networkPolicy": {"apiServer": {"cidrs": ["10.0.0.1"]}}},
    "mount": {"extraVolumeMounts": [{"name": "a"}]},
    "device": {"ipmi": {"enabled": True, "device": "ipmi0"}},
    "resource": {"ipmi": {"enabled": True, "resource": "ipmi"}},
    "shallow-share": {"vm": {"shareDir": "/vm"}},
    "strategy": {"updateStrategy": {"type": "Recreate"}},
}


@pytest.mark.parametrize("values", WRONG.values(), ids=WRONG)
def test_the_schema_refuses_wrong_values(values: dict[str, Any]) -> None:
    with pytest.raises(Refused, match="don't meet the specifications of the schema"):
        render_with(values)


def test_the_chart_can_be_packed(tmp_path: Any) -> None:
    run("package", str(CHART), "--destination", str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["podjoule-0.1.0.tgz"]

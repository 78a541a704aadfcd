"""The chart under every file of values in tests/deploy/values: what holds for all of them."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from exporter.commands.cli import main
from tests.deploy.chart import CHART, VALUES, Document, Rendered, render, run, values_of

SCHEMA = json.loads((CHART / "values.schema.json").read_text())


@pytest.fixture(params=VALUES, ids=lambda path: path.stem)
def values(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


@pytest.fixture
def rendered(values: Path) -> Rendered:
    return render(values)


def test_lint_finds_nothing(values: Path) -> None:
    run("lint", "--strict", str(CHART), "--values", str(values), "--kube-version", "1.34")


def test_nothing_of_the_host_is_shared_but_mounts(rendered: Rendered) -> None:
    for share in ("hostPID", "hostNetwork", "hostIPC", "shareProcessNamespace"):
        assert not rendered.pod.get(share)
    assert not any("hostPort" in port for port in rendered.container["ports"])


def test_the_container_has_the_named_capabilities_and_no_other_right(
    rendered: Rendered, values: Path
) -> None:
    wanted = values_of(values)
    context = dict(rendered.container["securityContext"])
    capabilities = context.pop("capabilities")
    assert capabilities["drop"] == ["ALL"]
    more = {"SYS_RESOURCE"} if wanted["oldKernel"] else set()
    assert set(capabilities["add"]) == {*wanted["capabilities"], *more}
    assert context == {
        "runAsUser": 0,
        "runAsGroup": 0,
        "privileged": wanted["privileged"],
        "allowPrivilegeEscalation": wanted["privileged"],
        "readOnlyRootFilesystem": True,
    }
    seccomp = rendered.pod["securityContext"]["seccompProfile"]
    assert seccomp == (wanted["seccompProfile"] or {"type": "RuntimeDefault"})


def test_the_host_is_mounted_read_only_and_no_more_of_it_than_the_values_say(
    rendered: Rendered, values: Path
) -> None:
    wanted = values_of(values)
    on_host = {
        name: volume["hostPath"]["path"] for name, volume in rendered.volumes.items() if "hostPath" in volume
    }
    paths = wanted["hostPaths"]
    expected = {"cgroup": paths["cgroup"]}
    if paths["powercap"]:
        expected["powercap"] = str(Path(paths["powercap"]).parent)
    if paths["btf"]:
        expected["btf"] = paths["btf"]
    if paths["procfs"] or wanted["vm"]["shareDir"]:
        expected["proc"] = paths["procfs"] or "/proc"
    if wanted["state"]["type"] == "hostPath" or wanted["continuity"]["enabled"]:
        expected["state"] = wanted["state"]["hostPath"]
    if wanted["continuity"]["enabled"]:
        expected["pins"] = wanted["continuity"]["pinPath"]
    if wanted["bcc"]["enabled"]:
        headers = {"modules": wanted["bcc"]["modulesPath"], "sources": wanted["bcc"]["sourcesPath"]}
        expected |= {name: path for name, path in headers.items() if path}
    if wanted["gpu"]["enabled"]:
        expected["pod-resources"] = paths["podResources"]
    expected |= {name: path for name, path in _given(wanted).items() if path}
    assert on_host == expected
    writable = {name for name in on_host if not rendered.mounts[name].get("readOnly")}
    assert writable == {"state", "pins", "vm"} & on_host.keys()


def _given(wanted: Document) -> dict[str, str]:
    """Directories of meters, where the values name one."""
    return {"nvidia": wanted["gpu"]["libraryPath"], "vm": wanted["vm"]["shareDir"]}


def test_every_volume_is_mounted_and_every_mount_has_a_volume(rendered: Rendered) -> None:
    assert rendered.mounts.keys() == rendered.volumes.keys()
    assert len({mount["mountPath"] for mount in rendered.mounts.values()}) == len(rendered.mounts)


def test_the_powercap_option_names_a_place_in_what_is_mounted(rendered: Rendered, values: Path) -> None:
    powercap = values_of(values)["hostPaths"]["powercap"]
    option = rendered.environment.get("PODJOULE_HOST_POWERCAP")
    if powercap:
        assert option == f"{rendered.mounts['powercap']['mountPath']}/{Path(powercap).name}"
    else:
        assert option is None
        assert "powercap" not in rendered.volumes


def test_podjoule_takes_what_the_chart_tells_it(
    rendered: Rendered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(rendered.configuration)
    for name in [name for name in os.environ if name.startswith("PODJOULE_")]:
        monkeypatch.delenv(name)
    for name, value in {**rendered.environment, "PODJOULE_CONFIG_FILE": str(file)}.items():
        monkeypatch.setenv(name, value)
    command, *flags = rendered.container["args"]
    assert command == "run"
    web = tmp_path / "web-config.yml"
    web.write_text("http_server_config: {http2: false}\n")  # the Secret's own file is in the cluster
    mounted = "--web.config.file="
    flags = [f"{mounted}{web}" if flag.startswith(mounted) else flag for flag in flags]
    assert main(["config", "check", *flags]) == 0
    printed = capsys.readouterr()
    assert "WARNING" not in printed.err.upper()
    told = yaml.safe_load(printed.out)
    assert told["web"]["listenAddresses"] == [f":{rendered.container['ports'][0]['containerPort']}"]
    assert told["host"]["cgroupfs"] == rendered.mounts["cgroup"]["mountPath"]
    for key, expected in _leaves(yaml.safe_load(file.read_text())):
        assert _at(told, key) == expected, key


def test_a_token_is_mounted_where_kubernetes_is_asked_and_nowhere_else(
    rendered: Rendered, values: Path
) -> None:
    assert rendered.pod["automountServiceAccountToken"] is values_of(values)["kube"]["enabled"]
    assert all(
        account["automountServiceAccountToken"] is False for account in rendered.of_kind("ServiceAccount")
    )


def test_the_role_is_the_smallest_that_the_mode_needs(rendered: Rendered, values: Path) -> None:
    wanted = values_of(values)
    rules = [rule for role in rendered.of_kind("ClusterRole") for rule in role["rules"]]
    assert not rendered.of_kind("Role")
    if not (wanted["rbac"]["create"] and wanted["kube"]["enabled"]):
        assert rules == []
        assert not rendered.of_kind("ClusterRoleBinding")
        return
    resource, verbs = {
        "apiserver": ("pods", ["list", "watch"]),
        "kubelet": (wanted["rbac"]["kubeletResource"], ["get"]),
    }[wanted["kube"]["mode"]]
    needed = [{"apiGroups": [""], "resources": [resource], "verbs": verbs}]
    if wanted["kube"]["readNode"]:
        needed.append({"apiGroups": [""], "resources": ["nodes"], "verbs": ["get"]})
    assert rules == needed
    binding = rendered.one("ClusterRoleBinding")
    assert binding["roleRef"]["name"] == rendered.one("ClusterRole")["metadata"]["name"]
    (subject,) = binding["subjects"]
    assert subject["name"] == rendered.pod["serviceAccountName"]


def test_probes_and_monitors_speak_what_the_server_speaks(rendered: Rendered, values: Path) -> None:
    wanted = values_of(values)
    scheme = "HTTPS" if wanted["web"]["tls"]["enabled"] else "HTTP"
    probes = {"startupProbe": "/-/healthy", "livenessProbe": "/-/healthy", "readinessProbe": "/-/ready"}
    for name, path in probes.items():
        probe = rendered.container[name]
        if wanted["probes"]["type"] == "http":
            assert probe["httpGet"] == {"path": path, "port": "metrics", "scheme": scheme}
        else:
            assert probe["tcpSocket"] == {"port": "metrics"}
    for monitor in rendered.of_kind("ServiceMonitor"):
        assert [each["scheme"] for each in monitor["spec"]["endpoints"]] == [scheme.lower()]
    for monitor in rendered.of_kind("PodMonitor"):
        assert [each["scheme"] for each in monitor["spec"]["podMetricsEndpoints"]] == [scheme.lower()]


def test_secrets_that_are_mounted_are_made_here_or_named_in_the_values(
    rendered: Rendered, values: Path
) -> None:
    wanted = values_of(values)
    sources = (wanted["web"], wanted["web"]["tls"], wanted["redfish"], wanted["otlp"], wanted["carbon"])
    others = {source["existingSecret"] for source in sources}
    mounted = {volume["secret"]["secretName"] for volume in rendered.volumes.values() if "secret" in volume}
    made = {secret["metadata"]["name"] for secret in rendered.of_kind("Secret")}
    assert made | mounted - others == made
    assert made <= mounted
    assert ("web" in rendered.volumes) == any(
        "--web.config.file" in flag for flag in rendered.container["args"]
    )


def test_all_objects_carry_the_recommended_labels(rendered: Rendered, values: Path) -> None:
    wanted = values_of(values)
    for found in rendered.objects:
        labels = found["metadata"]["labels"]
        for name in ("name", "instance", "version", "component", "part-of", "managed-by"):
            assert labels[f"app.kubernetes.io/{name}"]
        assert labels.items() >= wanted["commonLabels"].items()


def test_what_selects_the_pods_matches_them(rendered: Rendered) -> None:
    labels = rendered.one("DaemonSet")["spec"]["template"]["metadata"]["labels"].items()
    selectors = [rendered.one("DaemonSet")["spec"]["selector"]["matchLabels"]]
    beside = labels_beside(rendered)
    services = [service["spec"]["selector"] for service in rendered.of_kind("Service")]
    selectors += [each for each in services if each not in beside]
    selectors += [
        policy["spec"]["podSelector"]["matchLabels"] for policy in rendered.of_kind("NetworkPolicy")
    ]
    selectors += [monitor["spec"]["selector"]["matchLabels"] for monitor in rendered.of_kind("PodMonitor")]
    assert all(labels >= selector.items() for selector in selectors)
    for monitor in rendered.of_kind("ServiceMonitor"):
        service = rendered.one("Service")["metadata"]["labels"]
        assert service.items() >= monitor["spec"]["selector"]["matchLabels"].items()


def labels_beside(rendered: Rendered) -> list[Document]:
    """What selects pods that are no exporters."""
    return [found["spec"]["selector"]["matchLabels"] for found in rendered.of_kind("Deployment")]


def test_pods_that_are_no_exporters_are_selected_by_nothing_that_looks_for_those(
    rendered: Rendered,
) -> None:
    wanted = rendered.one("DaemonSet")["spec"]["selector"]["matchLabels"].items()
    for pod in _pods_beside(rendered):
        assert not pod["metadata"]["labels"].items() >= wanted


def test_pods_that_are_no_exporters_have_no_right_at_all(rendered: Rendered) -> None:
    for pod in _pods_beside(rendered):
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False
        assert "serviceAccountName" not in spec
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not any("hostPath" in volume for volume in spec.get("volumes", []))
        for each in spec["containers"]:
            assert each["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }


def _pods_beside(rendered: Rendered) -> Iterator[Document]:
    yield from rendered.of_kind("Pod")
    yield from (found["spec"]["template"] for found in rendered.of_kind("Deployment"))
    yield from (found["spec"]["jobTemplate"]["spec"]["template"] for found in rendered.of_kind("CronJob"))


def test_every_value_is_tried_by_some_file() -> None:
    defaults = dict(_leaves(yaml.safe_load((CHART / "values.yaml").read_text())))
    tried: set[tuple[str, ...]] = set()
    for path in VALUES:
        found = dict(_leaves(values_of(path)))
        tried |= {key for key, default in defaults.items() if found.get(key) != default}
    assert defaults.keys() - tried == set()


def test_the_schema_and_the_defaults_name_the_same_values() -> None:
    defaults = {key for key, _ in _leaves(yaml.safe_load((CHART / "values.yaml").read_text()))}
    named = set(_properties(SCHEMA))
    assert {key for key in defaults if not _covers(named, key)} == set()
    assert {key for key in named - _OPTIONAL if not _covers(defaults, key)} == set()


# Of what the schema knows beyond values.yaml: what Kubernetes' own objects may hold besides.
_OPTIONAL = {
    ("global",),
    *(
        ("probes", probe, field)
        for probe in ("startup", "liveness", "readiness")
        for field in ("successThreshold", "terminationGracePeriodSeconds")
    ),
    *(("affinity", kind) for kind in ("nodeAffinity", "podAffinity", "podAntiAffinity")),
    *(
        (profile, field)
        for profile in ("seccompProfile", "appArmorProfile")
        for field in ("type", "localhostProfile")
    ),
    *(("seLinuxOptions", field) for field in ("level", "role", "type", "user")),
    *(
        (*of, *field.split("."))
        for of in (("resources",), ("reports", "resources"))
        for field in ("claims", "requests.ephemeral-storage", "limits.ephemeral-storage", "limits.cpu")
    ),
}


def _covers(keys: set[tuple[str, ...]], key: tuple[str, ...]) -> bool:
    """Whether the key, or one above or below it, is among them."""
    return any(other[: len(key)] == key or key[: len(other)] == other for other in keys)


def _leaves(tree: object, key: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], object]]:
    if isinstance(tree, dict) and tree:
        for name, value in tree.items():
            yield from _leaves(value, (*key, name))
    elif key:
        yield key, tree


def _properties(schema: Document, key: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    reference = schema.get("$ref", "").removeprefix("#/definitions/")
    found = (SCHEMA["definitions"][reference] if reference else schema).get("properties")
    if not found:
        yield key
        return
    for name, below in found.items():
        yield from _properties(below, (*key, name))


def _at(tree: Document, key: tuple[str, ...]) -> object:
    found: object = tree
    for name in key:
        assert isinstance(found, dict)
        found = found[name]
    return found


def test_an_inline_certificate_arrives_as_it_was_given() -> None:
    path = next(path for path in VALUES if path.stem == "tls-inline")
    given = values_of(path)["web"]["tls"]
    secrets = {secret["metadata"]["name"]: secret for secret in render(path).of_kind("Secret")}
    pair = secrets["podjoule-tls"]
    assert pair["type"] == "kubernetes.io/tls"
    decoded = {key: base64.b64decode(content).decode() for key, content in pair["data"].items()}
    assert decoded == {"tls.crt": given["certificate"], "tls.key": given["key"]}


def test_the_web_configuration_joins_the_mounted_certificate_and_what_the_values_add() -> None:
    path = next(path for path in VALUES if path.stem == "tls-inline")
    added = values_of(path)["web"]["config"]
    rendered = render(path)
    (secret,) = (found for found in rendered.of_kind("Secret") if "stringData" in found)
    config = yaml.safe_load(secret["stringData"]["web-config.yml"])
    where = rendered.mounts["tls"]["mountPath"]
    pair = {"cert_file": f"{where}/tls.crt", "key_file": f"{where}/tls.key"}
    assert config == {**added, "tls_server_config": {**added["tls_server_config"], **pair}}

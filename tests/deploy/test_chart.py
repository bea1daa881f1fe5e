"""The Helm chart: the same objects as kustomize's, what values change, and which ones are refused."""

from __future__ import annotations

import json
import os
import re
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from stack import envoy
from stack.kinds import CONDITIONS, STYLES, kinds
from stack.render import CHECKOUT, ca_file, named, plugin_of
from stack.stack import WASM

from .helm import CHART, SITE, helm, merged, refused, template
from .kustomize import Manifest, build, containers, is_custom, of_kind, only, pods

OLD = ("--kube-version", "1.34.3")
IRSA = {
    "credentials": {
        "type": "irsa",
        "reader": {"roleArn": "arn:aws:iam::111122223333:role/mirror-on-miss-reader"},
        "writer": {"roleArn": "arn:aws:iam::111122223333:role/mirror-on-miss-writer"},
    }
}
EMBEDDED = {
    "module": {"source": "embedded"},
    "image": {"repository": "registry.example.com/mirror-on-miss", "tag": "0.1.0"},
}
MONITORED = {"metrics": {"podMonitor": {"enabled": True}, "prometheusRule": {"enabled": True}}}
EVERYTHING = {
    **IRSA,
    **EMBEDDED,
    "metrics": {**MONITORED["metrics"], "dashboard": {"enabled": True}},
    "wiring": "transparent",
    "maglev": {"enabled": True},
    "ingress": {"enabled": True, "hosts": [{"host": "files.example.net"}]},
    "httpRoute": {"enabled": True, "parentRefs": [{"name": "gateway"}], "hostnames": ["files.example.net"]},
}
PRIVATE_ORIGIN = {
    "settings": {"ORIGIN_AUTH": "s3", "ORIGIN_REGION": "eu-central-1"},
    "extraVolumes": [
        {"name": "origin", "secret": {"secretName": "origin-credentials", "defaultMode": 0o440}}
    ],
    "edge": {
        "extraVolumeMounts": [
            {"name": "origin", "mountPath": "/etc/mirror-on-miss-origin", "readOnly": True}
        ],
        "extraEnv": [
            {
                "name": "ORIGIN_SAS",
                "valueFrom": {
                    "secretKeyRef": {"name": "origin-credentials", "key": "ORIGIN_SAS", "optional": True}
                },
            }
        ],
    },
}
SITES: dict[str, dict[str, Any]] = {
    "base": {},
    "base+custom-image": EMBEDDED,
    "base+irsa": IRSA,
    "base+maglev": {"maglev": {"enabled": True}},
    "base+pod-identity": {"credentials": {"type": "podIdentity"}},
    "base+private-origin": PRIVATE_ORIGIN,
    "base+prometheus-operator": MONITORED,
    "base+transparent": {"wiring": "transparent"},
    "base+transparent+prometheus-operator+irsa+maglev": {
        **IRSA,
        **MONITORED,
        "wiring": "transparent",
        "maglev": {"enabled": True},
    },
}
"""What kustomize builds, and the values for the same."""

HELM_S_OWN = {"helm.sh/chart", "app.kubernetes.io/managed-by", "app.kubernetes.io/version"}


def edge(manifests: list[Manifest]) -> Manifest:
    return named(
        only(manifests, "Deployment", "mirror-on-miss")["spec"]["template"]["spec"]["containers"], "edge"
    )


def files(manifests: list[Manifest]) -> dict[str, str]:
    return only(manifests, "ConfigMap", "mirror-on-miss-configuration")["data"]


def settings(manifests: list[Manifest]) -> dict[str, str]:
    return only(manifests, "ConfigMap", "mirror-on-miss-settings")["data"]


# The same as kustomize's.


@pytest.mark.parametrize("site", SITES)
def test_its_objects_are_those_of_kustomize(site: str) -> None:
    ours = {(each["kind"], each["metadata"]["name"]): each for each in map(plain, template(SITES[site]))}
    assert ours.pop(("Pod", "mirror-on-miss-test"))
    theirs = {(each["kind"], each["metadata"]["name"]): each for each in map(plain, build(site))}
    assert set(ours) == set(theirs)
    for name, manifest in theirs.items():
        assert ours[name] == manifest, name


def plain(manifest: Manifest) -> Manifest:
    """Takes off what differs by nature: namespace, Helm's labels, checksums and hashes, and defaults that
    the API server fills in.
    """
    text = re.sub(r"(mirror-on-miss-(?:configuration|settings))-[a-z0-9]{10}\b", r"\1", json.dumps(manifest))
    manifest = json.loads(text)
    meta = manifest["metadata"]
    meta.pop("namespace", None)
    # On an object that is no pod a component is a label for people.
    for label in (*HELM_S_OWN, "app.kubernetes.io/component"):
        meta.get("labels", {}).pop(label, None)
    if manifest["kind"] == "Service" and manifest["spec"].get("type") == "ClusterIP":
        del manifest["spec"]["type"]
    if manifest["kind"] == "Deployment":
        pod = manifest["spec"]["template"]
        annotations = pod["metadata"]["annotations"]
        pod["metadata"]["annotations"] = {
            name: value for name, value in annotations.items() if not name.startswith("checksum/")
        }
        for each in (*containers(pod), pod["spec"]):
            for listed in ("env", "volumeMounts", "volumes"):
                if listed in each:
                    each[listed].sort(key=lambda item: item["name"])
    return manifest


@pytest.mark.parametrize("version", ["1.35", "1.37"])
@pytest.mark.parametrize("values", [*SITES.values(), EVERYTHING], ids=[*SITES, "everything"])
def test_kubernetes_knows_every_field(values: dict[str, Any], version: str) -> None:
    for manifest in template(values):
        if not is_custom(manifest):
            kubernetes_validate.validate(manifest, version, strict=True)


@pytest.mark.parametrize("values", [{}, EVERYTHING], ids=["defaults", "everything"])
def test_helm_s_linter_finds_nothing(tmp_path: Path, values: dict[str, Any]) -> None:
    (tmp_path / "values.yaml").write_text(json.dumps(merged(values)))
    done = helm("lint", "--strict", CHART, "--values", tmp_path / "values.yaml")
    assert done.returncode == 0, done.stdout


def test_its_version_is_the_module_s() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    (version,) = re.findall(r'^version = "(.*)"$', (CHECKOUT / "Cargo.toml").read_text(), re.MULTILINE)
    assert (chart["appVersion"], chart["version"]) == (version, version)
    image = yaml.safe_load((CHART / "values.yaml").read_text())["image"]
    assert yaml.safe_load(chart["annotations"]["artifacthub.io/images"]) == [
        {"name": "envoy", "image": f"{image['repository']}:{image['tag']}"}
    ]


def test_a_package_has_all_of_it(tmp_path: Path) -> None:
    assert helm("package", CHART, "--destination", tmp_path).returncode == 0
    (package,) = tmp_path.iterdir()
    (tmp_path / "values.yaml").write_text(json.dumps(SITE))
    texts = [
        helm("template", "mirror-on-miss", chart, "--values", tmp_path / "values.yaml").stdout
        for chart in (package, CHART)
    ]
    assert texts[0] == texts[1] != ""


# Values.


def test_every_value_is_in_the_schema_and_the_other_way_round() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())

    def compare(value: Any, part: dict[str, Any], path: str) -> None:
        if "properties" not in part or part.get("additionalProperties", True):
            return
        if isinstance(value, dict) and value:
            assert set(value) == set(part["properties"]) - {"global"}, path
            for name, inner in value.items():
                compare(inner, part["properties"][name], f"{path}.{name}")

    compare(values, schema, "")


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"wiring": "both"}, "/wiring"),
        ({"buckets": {}}, "'buckets' not allowed"),
        ({"bucket": {"zone": "a"}}, "'zone' not allowed"),
        ({"plugin": {"config": {"waiting": "3s"}}}, "'waiting' not allowed"),
        ({"plugin": {"config": {"rules": [{"prefix": 3}]}}}, "/plugin/config/rules/0/prefix"),
        ({"plugin": {"config": {"bucket": {"index": "a/b"}}}}, "/plugin/config/bucket/index"),
        ({"edge": {"logLevel": "verbose"}}, "/edge/logLevel"),
        ({"image": {"digest": "latest"}}, "/image/digest"),
        ({"settings": {"listen": "::"}}, "/settings"),
        ({"bucket": {"name": ""}}, "bucket.name is required"),
        ({"bucket": {"region": ""}}, "bucket.region is required"),
        ({"origin": {"url": ""}}, "origin.url is required"),
        ({"origin": {"url": "files.example.com"}}, "/origin/url"),
        ({"module": {"image": {"repository": ""}}}, "module.image.repository is required"),
        ({"credentials": {"type": "irsa"}}, "credentials.reader.roleArn is required"),
        ({"podDisruptionBudget": {"minAvailable": 1}}, "has maxUnavailable and minAvailable"),
        ({"edge": {"drainSeconds": 70}}, "terminationGracePeriodSeconds is 90"),
        (
            {"configurationFiles": {"edge.yaml": "a: 1"}, "plugin": {"env": ["TOKEN"]}},
            "plugin and extraClusters belong into it",
        ),
    ],
)
def test_a_wrong_value_is_refused_with_its_name(values: dict[str, Any], reason: str) -> None:
    assert reason in refused(values)


def test_a_cluster_that_drops_image_volumes_is_refused() -> None:
    """Kubernetes 1.31 to 1.34 without the feature gate ImageVolume says nothing at all."""
    assert "drops image volumes in silence" in refused({}, *OLD)
    assert template({"module": {"imageVolumeGate": True}}, *OLD)
    assert template(EMBEDDED, *OLD)
    assert template({}, "--kube-version", "1.35.0-eks-1234567")


def test_an_autoscaler_and_a_number_of_replicas_never_meet() -> None:
    deployment = only(template(), "Deployment", "mirror-on-miss")
    assert "replicas" not in deployment["spec"]
    alone = template({"autoscaling": {"enabled": False}, "replicaCount": 3})
    assert only(alone, "Deployment", "mirror-on-miss")["spec"]["replicas"] == 3
    assert of_kind(alone, "HorizontalPodAutoscaler") == []


@pytest.mark.parametrize(
    ("workers", "memory", "heap", "limit"),
    [(2, "128MiB", None, "1Gi"), (4, "128MiB", "768", "1792Mi"), (1, "1.5GiB", "1792", "4864Mi")],
)
def test_memory_follows_from_workers_and_the_module(
    workers: int, memory: str, heap: str | None, limit: str
) -> None:
    """docs/limits.md, "Memory"."""
    manifests = template(
        {"edge": {"concurrency": workers}, "plugin": {"config": {"limits": {"memory": memory}}}}
    )
    assert settings(manifests).get("HEAP_MIB") == heap
    assert edge(manifests)["resources"]["limits"] == {"memory": limit}
    assert edge(manifests)["resources"]["requests"]["cpu"] == "500m"
    own = template({"edge": {"concurrency": workers, "resources": {"limits": {"memory": "9Gi", "cpu": "4"}}}})
    assert edge(own)["resources"]["limits"] == {"memory": "9Gi", "cpu": "4"}


def test_ports_of_the_store_and_the_origin_are_reached() -> None:
    values = {
        "bucket": {"endpoint": "http://minio.minio:9000"},
        "origin": {"url": "http://[fd00::1]:8080/files"},
        "networkPolicy": {"egressPorts": [8443]},
    }
    policy = only(template(values), "NetworkPolicy", "mirror-on-miss")
    (ports,) = [
        [port["port"] for port in rule["ports"]]
        for rule in policy["spec"]["egress"]
        if {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["169.254.169.254/32"]}} in rule["to"]
    ]
    assert ports == [443, 9000, 8080, 8443]
    assert settings(template(values))["STORE"] == "http://minio.minio:9000"


def test_a_store_without_conditional_writes_is_told_to_both() -> None:
    values = {
        "bucket": {"ifNoneMatch": "false", "addressingStyle": "virtual", "on5xx": "origin"},
        "settings": {"LISTEN": "0.0.0.0"},
    }
    found = settings(template(values))
    assert found == {
        "ADDRESSING_STYLE": "virtual",
        "AWS_REGION": "eu-west-1",
        "BUCKET": "my-bucket",
        "IF_NONE_MATCH": "false",
        "LISTEN": "0.0.0.0",
        "ON_5XX": "origin",
        "ORIGIN": "https://files.example.com",
    }


def test_the_kinds_of_stores_are_those_of_start_sh() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    bucket = schema["properties"]["bucket"]["properties"]
    assert bucket["kind"]["enum"] == ["", *kinds()]
    assert bucket["ifNoneMatch"]["enum"] == ["", *CONDITIONS]
    assert bucket["addressingStyle"]["enum"] == ["", *STYLES]
    assert settings(template({"bucket": {"kind": "garage"}}))["STORE_KIND"] == "garage"


@pytest.mark.parametrize(
    ("values", "source"),
    [
        ({"configMap": "ours"}, {"configMap": {"name": "ours"}}),
        ({"secret": "ours", "key": "ca.pem"}, {"secret": {"secretName": "ours", "defaultMode": 0o440}}),
    ],
)
def test_edge_and_signer_trust_the_authorities(values: dict[str, str], source: dict[str, Any]) -> None:
    manifests = template({"authorities": values})
    (pod,) = pods(manifests)
    assert {**named(pod["spec"]["volumes"], "authorities"), "name": None} == {**source, "name": None}
    for container in (*pod["spec"]["initContainers"], *pod["spec"]["containers"]):
        mount = named(container["volumeMounts"], "authorities")["mountPath"]
        assert settings(manifests)["CA_FILE"] == f"{mount}/{values.get('key', 'ca.crt')}"


def test_keys_come_from_secrets_of_any_name() -> None:
    values = {"credentials": {"reader": {"existingSecret": "legacy", "key": "aws"}}}
    (pod,) = pods(template(values))
    assert named(pod["spec"]["volumes"], "reader")["secret"] == {
        "secretName": "legacy",
        "defaultMode": 0o440,
        "items": [{"key": "aws", "path": "reader.credentials"}],
    }


def test_a_service_account_of_ones_own_is_used_and_not_made() -> None:
    manifests = template({"serviceAccount": {"create": False, "name": "mine"}})
    assert of_kind(manifests, "ServiceAccount") == []
    assert pods(manifests)[0]["spec"]["serviceAccountName"] == "mine"
    renamed = template({"serviceAccount": {"name": "mine"}})
    assert only(renamed, "ServiceAccount", "mine")


def test_a_digest_goes_before_a_tag() -> None:
    digest = f"sha256:{'0' * 64}"
    manifests = template({"image": {"digest": digest}, "module": {"image": {"digest": digest}}})
    assert edge(manifests)["image"] == f"envoyproxy/envoy@{digest}"
    (pod,) = pods(manifests)
    reference = named(pod["spec"]["volumes"], "module")["image"]["reference"]
    assert reference == f"registry.example.com/mirror-on-miss-module@{digest}"


def test_what_a_pod_may_have_reaches_it() -> None:
    values = {
        "nodeSelector": {"disk": "fast"},
        "tolerations": [{"key": "a", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "priorityClassName": "high",
        "hostUsers": False,
        "imagePullSecrets": [{"name": "pull"}],
        "podAnnotations": {"a": "b"},
        "podLabels": {"team": "web"},
        "podSecurityContext": {"runAsUser": None, "runAsGroup": None, "fsGroup": None},
        "extraVolumes": [{"name": "more", "emptyDir": {}}],
        "edge": {
            "extraVolumeMounts": [{"name": "more", "mountPath": "/more"}],
            "extraEnv": [{"name": "TOKEN", "value": "x"}],
            "logLevel": "debug",
            "extraArgs": ["--component-log-level", "wasm:trace"],
        },
    }
    manifests = template(values)
    (pod,) = pods(manifests)
    spec = pod["spec"]
    for name in (
        "nodeSelector",
        "tolerations",
        "affinity",
        "priorityClassName",
        "hostUsers",
        "imagePullSecrets",
    ):
        assert spec[name] == values[name]
    assert pod["metadata"]["annotations"]["a"] == "b"
    assert pod["metadata"]["labels"]["team"] == "web"
    assert spec["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    assert {"name": "TOKEN", "value": "x"} in edge(manifests)["env"]
    arguments = ["--log-level", "debug", "--component-log-level", "wasm:trace"]
    assert edge(manifests)["command"][-4:] == arguments
    selector = only(manifests, "Deployment", "mirror-on-miss")["spec"]["selector"]["matchLabels"]
    assert "team" not in selector


def test_a_changed_setting_rolls_the_pods() -> None:
    def checksums(values: dict[str, Any]) -> list[str]:
        (pod,) = pods(template(values))
        annotations = pod["metadata"]["annotations"]
        return [annotations[f"checksum/{name}"] for name in ("configuration", "settings")]

    before = checksums({})
    assert checksums({"podLabels": {"a": "b"}}) == before
    assert checksums({"bucket": {"name": "other"}})[1] != before[1]
    assert checksums({"plugin": {"config": {"wait": "24s"}}})[0] != before[0]


def test_releases_of_a_namespace_share_nothing() -> None:
    sites = [template(EVERYTHING, release=name) for name in ("photos", "films")]
    names = [{(each["kind"], each["metadata"]["name"]) for each in manifests} for manifests in sites]
    assert not names[0] & names[1]
    for release, manifests in zip(("photos", "films"), sites, strict=True):
        for deployment in of_kind(manifests, "Deployment"):
            labels = deployment["spec"]["selector"]["matchLabels"]
            assert labels["app.kubernetes.io/instance"] == release
            assert set(labels) == {f"app.kubernetes.io/{name}" for name in ("name", "instance", "component")}


def test_the_front_tier_comes_in_two_steps() -> None:
    def component(values: dict[str, Any]) -> str:
        service = only(template({"maglev": values}), "Service", "mirror-on-miss")
        return service["spec"]["selector"]["app.kubernetes.io/component"]

    assert component({"enabled": True, "route": False}) == "gateway"
    assert component({"enabled": True}) == "front"
    policy = only(template({"maglev": {"enabled": True, "route": False}}), "NetworkPolicy", "mirror-on-miss")
    clients, front, _ = policy["spec"]["ingress"]
    assert "from" not in clients
    assert front["from"][0]["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "front"


def test_a_route_lets_a_request_wait() -> None:
    manifests = template(EVERYTHING)
    (ingress,) = of_kind(manifests, "Ingress")
    assert ingress["metadata"]["annotations"] == {"nginx.ingress.kubernetes.io/proxy-read-timeout": "90"}
    (route,) = of_kind(manifests, "HTTPRoute")
    assert route["spec"]["rules"][0]["timeouts"] == {"request": "0s"}


def test_the_rules_and_the_dashboard_are_the_shipped_ones() -> None:
    manifests = template(EVERYTHING)
    observability = CHECKOUT / "envoy" / "observability"
    (rule,) = of_kind(manifests, "PrometheusRule")
    assert rule["spec"] == only(build("base+prometheus-operator"), "PrometheusRule", "mirror-on-miss")["spec"]
    dashboard = only(manifests, "ConfigMap", "mirror-on-miss-dashboard")
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"
    drawn = observability / "grafana" / "dashboards" / "mirror-on-miss.json"
    assert dashboard["data"]["mirror-on-miss.json"] == drawn.read_text()


def test_more_objects_are_templates() -> None:
    extra = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-mine"}}
    assert only(template({"extraObjects": [extra]}), "ConfigMap", "mirror-on-miss-mine")


# The module's configuration.


def test_plugin_config_is_merged_over_the_shipped_one() -> None:
    values = {
        "plugin": {"config": {"wait": "24s", "bucket": {"keys": "exact"}, "limits": {"fills": 8}}},
        "wiring": "transparent",
    }
    shipped = configuration(files(template())["transparent.yaml"])
    found = configuration(files(template(values))["transparent.yaml"])
    expected = {**shipped, "wait": "24s", "limits": {"fills": 8}}
    assert found == {**expected, "bucket": {**shipped["bucket"], "keys": "exact"}}


def configuration(text: str) -> dict[str, Any]:
    return json.loads(plugin_of(yaml.safe_load(text))["configuration"]["value"])


ORIGINS = {
    "plugin": {
        "config": {
            "origins": {
                "first": {"cluster": "origin", "authority": "files.example.com"},
                "second": {"cluster": "second", "authority": "my-bucket.s3.eu-west-1.amazonaws.com"},
            },
            "rules": [{"origins": ["first", "second"]}],
        },
        "env": ["TOKEN"],
    },
    "bucket": {"name": "photos", "region": "us-east-2"},
    "origin": {"url": "https://old.example.org/files"},
    "extraClusters": [
        {
            "name": "second",
            "type": "LOGICAL_DNS",
            "connect_timeout": "5s",
            "load_assignment": {
                "cluster_name": "second",
                "endpoints": [
                    {
                        "lb_endpoints": [
                            {
                                "endpoint": {
                                    "address": {
                                        "socket_address": {
                                            "address": "my-bucket.s3.eu-west-1.amazonaws.com",
                                            "port_value": 443,
                                        }
                                    }
                                }
                            }
                        ]
                    }
                ],
            },
        }
    ],
}


@pytest.mark.parametrize(
    "values",
    [
        {},
        {
            "plugin": {"config": {"wait": "24s"}},
            "bucket": {"addressingStyle": "virtual", "ifNoneMatch": "false"},
        },
        ORIGINS,
    ],
    ids=["defaults", "settings", "origins"],
)
@pytest.mark.parametrize("wiring", ["redirect", "transparent"])
def test_envoy_takes_what_a_pod_is_started_on(tmp_path: Path, wiring: str, values: dict[str, Any]) -> None:
    manifests = template({**values, "wiring": wiring})
    text = started(tmp_path, manifests)
    document = yaml.safe_load(text)
    assert f"/{settings(manifests)['BUCKET']}" in text or "virtual" in str(values)
    if values is ORIGINS:
        module = json.loads(plugin_of(document)["configuration"]["value"])
        # The site's own names are replaced, those of the values are not.
        assert module["bucket"]["authority"] == "s3.us-east-2.amazonaws.com"
        assert module["origins"] == ORIGINS["plugin"]["config"]["origins"]
        second = named(document["static_resources"]["clusters"], "second")
        assert second == ORIGINS["extraClusters"][0]
        environment = plugin_of(document)["vm_config"]["environment_variables"]
        assert environment == {"host_env_keys": ["TOKEN"]}
    validated(tmp_path, text, TOKEN="x")


def validated(directory: Path, text: str, **variables: str) -> None:
    config = directory / "edge.yaml"
    config.write_text(text.replace("/etc/ssl/certs/ca-certificates.crt", ca_file()))
    argv = [envoy.binary(), "--mode", "validate", "--disable-hot-restart", "-c", config]
    env = {**os.environ, **variables}
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env=env)
    assert done.returncode == 0, done.stderr


def started(directory: Path, manifests: list[Manifest]) -> str:
    """Returns what start.sh makes of the release's files and settings."""
    mounted = directory / "mounted"
    mounted.mkdir()
    for name, text in files(manifests).items():
        (mounted / name).write_text(text)
    command = edge(manifests)["command"]
    env = {"PATH": os.environ["PATH"], **settings(manifests), "MODULE": str(WASM)}
    argv = ["sh", mounted / "start.sh", "print", command[2]]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("number", [0, 1])
def test_the_values_of_the_docs_are_taken(tmp_path: Path, number: int) -> None:
    page = (CHECKOUT / "docs" / "deploy-helm.md").read_text()
    found = re.findall(r"^ *```yaml\n(.*?)^ *```$", page, re.MULTILINE | re.DOTALL)
    validated(tmp_path, started(tmp_path, template(yaml.safe_load(found[number]))), LEGACY_TOKEN="x")


def test_a_file_of_ones_own_takes_the_place_of_the_shipped_one() -> None:
    own = "static_resources:\n  # mine\n  listeners: []\n\n"
    found = files(template({"configurationFiles": {"edge.yaml": own, "mine.yaml": "a: 1"}}))
    assert (found["edge.yaml"], found["mine.yaml"]) == (own, "a: 1")
    assert found["signer.yaml"] == (CHECKOUT / "envoy" / "configuration" / "signer.yaml").read_text()


@pytest.mark.parametrize(("wiring", "name"), [("redirect", "edge"), ("transparent", "transparent")])
def test_a_signature_of_azure_stands_beside_other_secrets(tmp_path: Path, wiring: str, name: str) -> None:
    """Both are variables of the module's VM, which has one list of them."""
    values = {
        "wiring": wiring,
        "settings": {"ORIGIN_AUTH": "sas"},
        "plugin": {"env": ["TOKEN"], "config": {"origin": {"headers": {"x-token": {"env": "TOKEN"}}}}},
    }
    manifests = template(values)
    for file, text in files(manifests).items():
        (tmp_path / file).write_text(text)
    argv = ["sh", tmp_path / "start.sh", "print", name]
    done = subprocess.run(argv, env=settings(manifests), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    plugin = plugin_of(yaml.safe_load(done.stdout))
    assert plugin["vm_config"]["environment_variables"] == {"host_env_keys": ["ORIGIN_SAS", "TOKEN"]}
    assert done.stdout.count(" environment_variables:") == 1
    origin = json.loads(plugin["configuration"]["value"])["origin"]
    assert origin["parameters"] == {"env": "ORIGIN_SAS"}
    assert origin["headers"] == {"x-token": {"env": "TOKEN"}}


# What a user is told, and `helm test`.


def notes(values: dict[str, Any], directory: Path) -> str:
    file = directory / "values.yaml"
    file.write_text(json.dumps(merged(values)))
    done = helm("install", "photos", CHART, "--namespace", "site", "--dry-run=client", "--values", file)
    assert done.returncode == 0, done.stderr
    return done.stdout.partition("NOTES:")[2]


def test_the_notes_say_what_to_do_and_what_must_be_there(tmp_path: Path) -> None:
    text = notes({}, tmp_path)
    assert "kubectl -n site rollout status deployment/photos-mirror-on-miss\n" in text
    assert "get secret reader-credentials    its key reader.credentials is" in text
    assert "get secret writer-credentials    its key writer.credentials is" in text
    assert "READ THE BUCKET" not in text
    assert "front tier" not in text
    assert "secret" not in notes(IRSA, tmp_path)
    assert "writer" not in notes({"credentials": {"type": "podIdentity"}}, tmp_path)
    assert "EVERYBODY WHO REACHES IT CAN READ" in notes({"wiring": "transparent"}, tmp_path)
    assert "maglev.route=true" in notes({"maglev": {"enabled": True, "route": False}}, tmp_path)


ANSWERS = {
    "stored": (302, "stored", 0),
    "not there": (404, "not_found", 0),
    "there": (200, None, 0),
    "a bucket that cannot be read": (403, None, 1),
    "an origin that is down": (502, "origin_unavailable", 1),
    "a bucket that does not exist": (404, None, 1),
}


class Answer(BaseHTTPRequestHandler):
    status, outcome, asked = 0, None, ""

    def do_GET(self) -> None:
        type(self).asked = self.path
        self.send_response(self.status)
        if self.outcome:
            self.send_header("X-Mirror-On-Miss", self.outcome)
        self.end_headers()

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


@pytest.fixture
def service() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("answer", ANSWERS)
def test_helm_test_tells_a_release_that_works_from_one_that_does_not(
    service: ThreadingHTTPServer, answer: str
) -> None:
    Answer.status, Answer.outcome, code = ANSWERS[answer]  # type: ignore[assignment]
    pod = only(template(), "Pod", "mirror-on-miss-test")
    (container,) = pod["spec"]["containers"]
    variables = {each["name"]: each["value"] for each in container["env"]}
    env = {**os.environ, **variables, "HOST": "127.0.0.1", "PORT": str(service.server_port)}
    done = subprocess.run(container["command"], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    assert Answer.asked == "/mirror-on-miss-helm-test"


def test_helm_test_asks_as_clients_do() -> None:
    def key(values: dict[str, Any]) -> str:
        (container,) = only(template(values), "Pod", "mirror-on-miss-test")["spec"]["containers"]
        return {each["name"]: each["value"] for each in container["env"]}["KEY"]

    assert key({"wiring": "transparent"}) == "/my-bucket/mirror-on-miss-helm-test"
    assert key({}) == "/mirror-on-miss-helm-test"

"""Kubernetes, compose and Terraform: what a cluster would accept, with settings that the service knows.

What their schemas cannot see is checked here too: that selectors select, that probes ask for addresses which exist, and
that no setting is misspelt.
"""

import re
from pathlib import Path

import hcl2
import kubernetes_validate
import pytest
import yaml

from text_recognizer.errors import UsageError
from text_recognizer.service.app import create_app
from text_recognizer.service.engine import STOP_SECONDS
from text_recognizer.service.settings import PREFIX, Settings

DEPLOY = Path(__file__).parent.parent.parent / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
# The oldest that clouds still offer in their long-term support, and the newest that the schemas know.
VERSIONS = ("1.31", kubernetes_validate.latest_version())
MANIFESTS = sorted(KUBERNETES.glob("*.yaml"))
CLOSING = 5 + STOP_SECONDS + 1  # the service's own time to close, after the deadline
KNOWN = {PREFIX + name.upper() for name in Settings.model_fields} | {f"{PREFIX}API_KEYS_FILE", f"{PREFIX}MODELS"}


def load(name):
    return yaml.safe_load((KUBERNETES / name).read_text(encoding="utf-8"))


@pytest.fixture
def deployment():
    return load("deployment.yaml")


@pytest.fixture
def container(deployment):
    (only,) = deployment["spec"]["template"]["spec"]["containers"]
    return only


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", [file.name for file in MANIFESTS if file.name != "kustomization.yaml"])
def test_cluster_accepts_the_manifest(name, version):
    kubernetes_validate.validate(load(name), version, strict=True)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda pod: pod["containers"][0].update(imagePullPolice="Always"),
        lambda pod: pod["containers"][0]["livenessProbe"].update(periodSeconds="15s"),
        lambda pod: pod["containers"][0].pop("name"),
    ],
    ids=["misspelt", "wrong type", "missing"],
)
def test_broken_manifest_is_refused(deployment, spoil):
    spoil(deployment["spec"]["template"]["spec"])
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, VERSIONS[-1], strict=True)


COMPONENTS = sorted(folder.parent.name for folder in KUBERNETES.glob("*/kustomization.yaml"))


def patched(document, patch):
    """`document` with the operations of a JSON patch (RFC 6902) done, those that the components use."""
    for step in yaml.safe_load(patch):
        *way, last = step["path"].strip("/").split("/")
        place = document
        for name in way:
            place = place[int(name) if isinstance(place, list) else name]
        if isinstance(place, list):
            assert (step["op"], last) == ("add", "-")
            place.append(step["value"])
        else:
            assert step["op"] == "add" or (step["op"] == "replace" and last in place), step
            place[last] = step["value"]
    return document


def with_component(name):
    """The manifests by kind and name as a cluster gets them with the component `name`."""
    component = load(f"{name}/kustomization.yaml")
    files = [*load("kustomization.yaml")["resources"], *(f"{name}/{file}" for file in component["resources"])]
    found = {(d["kind"], d["metadata"]["name"]): d for d in map(load, files)}
    for patch in component["patches"]:
        target = patch["target"]["kind"], patch["target"]["name"]
        found[target] = patched(found[target], patch["patch"])
    return found


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", COMPONENTS)
def test_cluster_accepts_the_manifests_with_feedback(name, version):
    assert load(f"{name}/kustomization.yaml")["kind"] == "Component"
    assert name in (KUBERNETES / "kustomization.yaml").read_text(encoding="utf-8")
    for document in with_component(name).values():
        kubernetes_validate.validate(document, version, strict=True)


def test_pods_without_a_place_for_feedback_take_none(container):
    assert load("settings.yaml")["data"]["TEXT_RECOGNIZER_FEEDBACK"] == "off"
    # Of two sources the later counts: what is in the secret goes before the defaults.
    sources = [next(iter(source)) for source in container["envFrom"]]
    assert sources == ["configMapRef", "secretRef"]
    assert container["envFrom"][0]["configMapRef"]["name"] == load("settings.yaml")["metadata"]["name"]


def test_pods_without_a_key_do_not_start(container):
    """Neither a misspelled secret nor a misspelled key in it opens the service."""
    assert container["envFrom"][1] == {"secretRef": {"name": "text-recognizer"}}
    with pytest.raises(UsageError, match="API_KEYS"):
        Settings.from_environment(load("settings.yaml")["data"])


def test_feedback_on_a_volume_has_one_writer():
    found = with_component("feedback-volume")
    folder = found["ConfigMap", "text-recognizer"]["data"]["TEXT_RECOGNIZER_FEEDBACK"]
    pod = found["Deployment", "text-recognizer"]["spec"]["template"]["spec"]
    (mount,) = [mount for mount in pod["containers"][0]["volumeMounts"] if mount["mountPath"] == folder]
    (volume,) = [volume for volume in pod["volumes"] if volume["name"] == mount["name"]]
    assert ("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]) in found
    assert pod["securityContext"]["fsGroup"] == pod["securityContext"]["runAsGroup"]
    # Two pods would write into one file of SQLite, and wait for a volume that only one node may have.
    assert found["HorizontalPodAutoscaler", "text-recognizer"]["spec"]["maxReplicas"] == 1
    assert found["Deployment", "text-recognizer"]["spec"]["strategy"] == {"type": "Recreate"}


def test_feedback_in_a_database_may_reach_it_and_needs_its_secret():
    found = with_component("feedback-database")
    pod = found["Deployment", "text-recognizer"]["spec"]["template"]
    assert pod["spec"]["containers"][0]["envFrom"][-1] == {"secretRef": {"name": "text-recognizer-feedback"}}
    policy = found["NetworkPolicy", "text-recognizer-feedback"]["spec"]
    assert policy["podSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    assert [port["port"] for rule in policy["egress"] for port in rule["ports"]] == [5432]


def test_kustomization_names_every_manifest_and_the_image_of_the_deployment(container):
    kustomization = load("kustomization.yaml")
    assert sorted([*kustomization["resources"], "kustomization.yaml"]) == [file.name for file in MANIFESTS]
    assert [image["name"] for image in kustomization["images"]] == [container["image"]]


def test_selectors_select_the_pods_of_the_deployment(deployment):
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    service, policy, budget = load("service.yaml"), load("network.yaml"), load("disruption.yaml")
    spread = deployment["spec"]["template"]["spec"]["topologySpreadConstraints"][0]
    selectors = [
        deployment["spec"]["selector"]["matchLabels"],
        service["spec"]["selector"],
        policy["spec"]["podSelector"]["matchLabels"],
        budget["spec"]["selector"]["matchLabels"],
        spread["labelSelector"]["matchLabels"],
    ]
    assert all(selector.items() <= labels.items() and selector for selector in selectors)
    target = load("autoscaler.yaml")["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", deployment["metadata"]["name"])


def test_replicas_are_left_to_the_autoscaler_and_one_may_always_go(deployment):
    assert "replicas" not in deployment["spec"]
    # Draining a node would wait for ever where a budget keeps the only pod.
    assert load("autoscaler.yaml")["spec"]["minReplicas"] > load("disruption.yaml")["spec"]["maxUnavailable"] == 1


def test_probes_ask_for_addresses_that_the_service_has(container):
    routes = set(create_app(Settings()).openapi()["paths"])
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["path"] in routes
        assert container[probe]["httpGet"]["port"] in ports
    environment = {entry["name"]: entry.get("value") for entry in container["env"]}
    assert environment["TEXT_RECOGNIZER_PORT"] == str(ports["http"])
    assert load("service.yaml")["spec"]["ports"][0]["targetPort"] in ports
    assert load("network.yaml")["spec"]["ingress"][0]["ports"][0]["port"] in ports


def test_pod_may_finish_what_it_took_before_it_is_ended(deployment, container):
    environment = {entry["name"]: entry.get("value") for entry in container["env"]}
    pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    grace = deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert grace >= pause + float(environment["TEXT_RECOGNIZER_DEADLINE"]) + CLOSING
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    graces = [one["stop_grace_period"] for one in compose["services"].values() if "stop_grace_period" in one]
    assert graces
    assert all(float(grace.removesuffix("s")) >= Settings().deadline + CLOSING for grace in graces)


def test_pod_can_change_nothing_but_its_scratch_folder(deployment, container):
    pod = deployment["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"
    assert not pod["automountServiceAccountToken"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert [mount["mountPath"] for mount in container["volumeMounts"]] == ["/tmp"]
    assert set(container["resources"]["limits"]) == {"cpu", "memory"}


def test_neighbours_names_cannot_become_settings(deployment):
    # A Service called text-recognizer gives every pod TEXT_RECOGNIZER_PORT=tcp://10.0.0.1:80 unless this is off.
    assert deployment["spec"]["template"]["spec"]["enableServiceLinks"] is False


@pytest.mark.parametrize(
    "inside", ["169.254.169.254", "10.1.2.3", "172.20.0.1", "192.168.1.1", "100.64.0.1", "127.0.0.1"]
)
def test_network_policy_lets_nothing_out_to_addresses_inside(inside):
    from ipaddress import ip_address, ip_network

    for rule in load("network.yaml")["spec"]["egress"]:
        for block in (peer["ipBlock"] for peer in rule["to"] if "ipBlock" in peer):
            allowed = ip_network(block["cidr"])
            excepted = [ip_network(part) for part in block["except"]]
            assert all(part.subnet_of(allowed) for part in excepted), "a cluster refuses such an exception"
            if ip_address(inside).version == allowed.version:
                assert any(ip_address(inside) in part for part in excepted)


# ------------------------------------------------------------------------------------------------------------ settings


def settings_in(text: str) -> set[str]:
    return set(re.findall(rf"\b{PREFIX}[A-Z_]+\b", text))


def written():
    """Every file that names settings."""
    patterns = ("Dockerfile", "*.Dockerfile", "*.yaml", "*/*.yaml", "*/*/*.yaml", "*/*.tf", "../docs/serve/deploy.md")
    return [file for pattern in patterns for file in DEPLOY.glob(pattern) if file.name != "skypilot.yaml"]


@pytest.mark.parametrize("file", written(), ids=lambda file: file.name)
def test_every_setting_is_one_that_the_service_knows(file):
    assert settings_in(file.read_text(encoding="utf-8")) <= KNOWN


# ------------------------------------------------------------------------------------------------------------- compose


def test_compose_runs_the_service_as_the_cluster_does():
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    service, page = (compose["services"][name] for name in ("service", "app"))
    for one in (service, page):
        assert one["read_only"]
        assert one["cap_drop"] == ["ALL"]
        assert one["tmpfs"][0].startswith("/tmp")
        assert one["ports"][0].startswith("127.0.0.1:"), "others than this machine get in on purpose only"
        context = (DEPLOY / one["build"]["context"]).resolve()
        recipe = (context / one["build"]["dockerfile"]).read_text(encoding="utf-8")
        assert f" AS {one['build']['target']}\n" in recipe
    assert page["command"] == ["--model-url", "http://service:8000"]
    assert set(page["depends_on"]) == {"service"}
    (volume,) = [volume for volume in service["volumes"] if volume.endswith(":/feedback")]
    assert volume.partition(":")[0] in compose["volumes"]
    Settings.from_environment(
        {name: re.sub(r"\$\{\w+:-(.*)\}", r"\1", value) for name, value in service["environment"].items()}
    )


# ----------------------------------------------------------------------------------------------------------- Terraform


def terraform():
    return "\n".join(file.read_text(encoding="utf-8") for file in sorted((DEPLOY / "terraform").glob("*.tf")))


def test_terraform_parses_and_a_broken_one_does_not():
    tree = hcl2.loads(terraform())
    kinds = {kind.strip('"') for resource in tree["resource"] for kind in resource}
    assert {"aws_ecr_repository", "aws_lambda_function", "aws_lambda_function_url", "aws_iam_role"} <= kinds
    with pytest.raises(Exception, match=r"[Uu]nexpected"):
        hcl2.loads(terraform().replace("resource ", "resource {", 1))


def test_terraform_uses_each_of_its_variables_and_no_others():
    text = terraform()
    declared = {name.strip('"') for block in hcl2.loads(text)["variable"] for name in block}
    assert set(re.findall(r"\bvar\.(\w+)", text)) == declared


def test_function_takes_feedback_only_where_a_store_is_set():
    blocks = {name.strip('"'): body for block in hcl2.loads(terraform())["variable"] for name, body in block.items()}
    assert [blocks[name]["default"].strip('"') for name in ("feedback", "feedback_images")] == ["", ""]
    assert blocks["feedback"]["sensitive"] is True, "a password is in it"
    assert 'var.feedback == "" ? { TEXT_RECOGNIZER_FEEDBACK = "off" }' in terraform()


def test_public_function_is_invoked_through_its_url_alone():
    tree = hcl2.loads(terraform())
    permissions = [body for block in tree["resource"] for kind, named in block.items()
                   if kind.strip('"') == "aws_lambda_permission" for body in named.values()]  # fmt: skip
    assert len(permissions) == 2
    for body in permissions:
        assert body.get("invoked_via_function_url") is True or body.get("function_url_auth_type")
    (required,) = tree["terraform"]
    (aws,) = [provider["aws"] for provider in required["required_providers"]]
    assert aws["version"].strip('"') == ">= 6.29", "the first with that condition"


def test_terraform_lets_in_nobody_unless_told_so():
    blocks = {name.strip('"'): body for block in hcl2.loads(terraform())["variable"] for name, body in block.items()}
    assert blocks["public"]["default"] is False

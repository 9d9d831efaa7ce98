"""What every workload promises: Deployments and StatefulSets of any component."""

import json

import pytest

from infra.components import database
from infra.environments.recording import Recording
from tests.conftest import STACKS, container_of, platform_of, pod_of, workloads

WORKLOADS = {(stack, name): each for stack in STACKS for name, each in workloads(platform_of(stack)).items()}
# A Job serves nobody: its pods end, and it selects them itself.
SERVERS = [key for key, each in WORKLOADS.items() if each["kind"] != "Job"]
# One change for each file that a ConfigMap carries.
OTHER_FILES = {
    "cache": {"resources": {"memory_request": "2Gi", "memory_limit": "2Gi"}},
    "database": {"max_connections": 123},
    "edge": {"upload_limit": "5Mi"},
    "logging": {
        "elasticsearch": {"resources": {"memory_request": "4Gi", "memory_limit": "4Gi"}},
        "logstash": {"storage": {"size": "10Gi"}},
    },
    "namespace": "other",
    "notifications": {"heartbeat_url": "https://heartbeat.example.com/other"},
}
# Files that no setting is about.
CONSTANT = {"web.yml", "blackbox.yml", "config.yaml", "kibana.yml", "filebeat.yml"}
CALLS_API = {"incident-responder", "kube-state-metrics", "prometheus", "prometheus-adapter"}


@pytest.fixture(params=WORKLOADS, ids="-".join)
def workload(request):
    return WORKLOADS[request.param]


@pytest.fixture(params=SERVERS, ids="-".join)
def server(request):
    return WORKLOADS[request.param]


@pytest.fixture
def stack(request):
    params = request.node.callspec.params
    return platform_of(params.get("workload", params.get("server"))[0])


@pytest.fixture
def containers(workload):
    return [*pod_of(workload).get("initContainers", []), *pod_of(workload)["containers"]]


@pytest.fixture(scope="module")
def with_other_files():
    return platform_of("prod", **OTHER_FILES)


@pytest.fixture(scope="module")
def with_other_secrets():
    return platform_of("prod", rotation=1)


def annotation(platform: Recording, name: str, key: str) -> str:
    return workloads(platform)[name]["spec"]["template"]["metadata"]["annotations"][f"modelcard/{key}"]


def files(platform: Recording, name: str) -> str:
    """All files that the pods read from ConfigMaps, as text."""
    volumes = pod_of(workloads(platform)[name])["volumes"]
    names = {volume["configMap"]["name"] for volume in volumes if "configMap" in volume}
    maps = [each.inputs["data"] for each in platform.all("v1:ConfigMap") if each.inputs["metadata"]["name"] in names]
    # Pulumi registers what depends on nothing in any order.
    return json.dumps(sorted(maps, key=sorted), sort_keys=True)


def test_no_container_may_become_more_than_it_is(containers):
    for each in containers:
        context = each["securityContext"]
        assert (context["allowPrivilegeEscalation"], context["privileged"]) == (False, False)
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}


def test_no_container_runs_as_root_or_as_a_user_of_the_node(containers):
    for each in containers:
        context = each["securityContext"]
        assert context["runAsNonRoot"]
        assert min(context["runAsUser"], context["runAsGroup"]) > 10000


def test_no_container_writes_to_its_image(containers):
    assert [each["securityContext"]["readOnlyRootFilesystem"] for each in containers] == [True] * len(containers)


def test_the_pod_is_a_guest_of_the_node(workload):
    pod = pod_of(workload)
    assert [key for key in ("hostNetwork", "hostPID", "hostIPC") if pod.get(key)] == []
    if workload["kind"] != "DaemonSet":
        assert [volume for volume in pod["volumes"] if "hostPath" in volume] == []
    assert [port for each in pod["containers"] for port in each.get("ports", []) if "hostPort" in port] == []


def test_every_scratch_folder_is_bounded_and_fits_the_ephemeral_storage(workload):
    folders = [volume["emptyDir"] for volume in pod_of(workload)["volumes"] if "emptyDir" in volume]
    on_disk = [int(each["sizeLimit"].removesuffix("Mi")) for each in folders if each.get("medium") != "Memory"]
    limits = [each["resources"]["limits"]["ephemeral-storage"] for each in pod_of(workload)["containers"]]
    assert sum(on_disk) <= sum(int(limit[:-2]) * {"Mi": 1, "Gi": 1024}[limit[-2:]] for limit in limits)


def test_every_container_says_what_it_needs_and_what_it_may_take(containers):
    for each in containers:
        assert each["resources"]["requests"].keys() == {"cpu", "memory", "ephemeral-storage"}
        assert each["resources"]["limits"].keys() >= {"memory", "ephemeral-storage"}
        assert each["resources"]["requests"]["memory"] == each["resources"]["limits"]["memory"]


def test_every_container_says_what_it_runs(containers):
    assert [bool(each["command"]) for each in containers] == [True] * len(containers)


def test_its_health_and_readiness_are_asked(server):
    assert {"livenessProbe", "readinessProbe"} <= container_of(server).keys()


def test_it_is_not_killed_for_what_only_keeps_it_from_being_ready(server):
    container = container_of(server)
    assert container["livenessProbe"] != container["readinessProbe"]


def test_its_probes_name_ports_that_it_has(server):
    container = container_of(server)
    probes = [container[kind] for kind in ("livenessProbe", "readinessProbe", "startupProbe") if kind in container]
    asked = {probe[how]["port"] for probe in probes for how in ("httpGet", "tcpSocket") if how in probe}
    assert asked <= {port["name"] for port in container.get("ports", [])}


def test_it_has_an_identity_of_its_own_with_a_token_only_if_it_calls_the_api(workload, stack):
    name = workload["metadata"]["name"]
    pod, account = pod_of(workload), stack.one("v1:ServiceAccount", name)
    assert (pod["serviceAccountName"], account["metadata"]["name"]) == (name, name)
    assert (pod["automountServiceAccountToken"], account["automountServiceAccountToken"]) == (name in CALLS_API, False)


def test_it_selects_its_own_pods_and_no_others(server, stack):
    selector = server["spec"]["selector"]["matchLabels"]
    selected = [
        name
        for name, each in workloads(stack).items()
        if selector.items() <= each["spec"]["template"]["metadata"]["labels"].items()
    ]
    assert selected == [server["metadata"]["name"]]


def test_its_service_leads_to_ports_that_it_has(server, stack):
    services = [each for each in stack.all("v1:Service") if each.name == f"{server['metadata']['name']}-service"]
    # The pods of a DaemonSet are alike to nobody: each speaks for its node.
    assert len(services) == (server["kind"] != "DaemonSet")
    ports = {port["name"] for container in pod_of(server)["containers"] for port in container.get("ports", [])}
    for service in [each.inputs["spec"] for each in services]:
        assert service["selector"] == server["spec"]["selector"]["matchLabels"]
        assert {port["targetPort"] for port in service["ports"]} <= ports


def test_a_drain_leaves_some_of_its_pods_where_it_has_several(server, stack):
    name = server["metadata"]["name"]
    scaled = [each.inputs["spec"]["scaleTargetRef"]["name"] for each in stack.all("v2:HorizontalPodAutoscaler")]
    budgets = [each.inputs["spec"] for each in stack.all("v1:PodDisruptionBudget") if each.name == f"{name}-budget"]
    several = name in scaled or server["spec"].get("replicas", 1) > 1
    expected = [(1, server["spec"]["selector"])] if several else []
    assert [(each["maxUnavailable"], each["selector"]) for each in budgets] == expected


def test_its_pods_spread_over_zones_and_nodes(server):
    constraints = pod_of(server).get("topologySpreadConstraints", [])
    expected = [
        ("topology.kubernetes.io/zone", server["spec"]["selector"]),
        ("kubernetes.io/hostname", server["spec"]["selector"]),
    ]
    assert [(each["topologyKey"], each["labelSelector"]) for each in constraints] == (
        [] if server["kind"] == "DaemonSet" else expected
    )


def test_everything_that_it_mounts_exists(workload, stack):
    volumes = pod_of(workload)["volumes"]
    existing = {(each["kind"], each["metadata"]["name"]) for each in stack.manifests()}
    wanted = {("ConfigMap", volume["configMap"]["name"]) for volume in volumes if "configMap" in volume}
    wanted |= {("Secret", volume["secret"]["secretName"]) for volume in volumes if "secret" in volume}
    wanted |= {
        ("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"])
        for volume in volumes
        if "persistentVolumeClaim" in volume
    }
    assert wanted - existing == set()


def test_every_mount_has_its_volume(workload, containers):
    volumes = {each["name"] for each in pod_of(workload)["volumes"]}
    volumes |= {each["metadata"]["name"] for each in workload["spec"].get("volumeClaimTemplates", [])}
    assert {mount["name"] for each in containers for mount in each["volumeMounts"]} == volumes


@pytest.mark.parametrize("name", workloads(platform_of("prod")))
def test_a_changed_file_rolls_the_pods_that_read_it_and_no_others(name, platform, with_other_files):
    changed = files(platform, name) != files(with_other_files, name)
    rolled = annotation(platform, name, "config") != annotation(with_other_files, name, "config")
    assert rolled == changed


@pytest.mark.parametrize("name", workloads(platform_of("prod")))
def test_every_file_that_pods_read_has_a_change_above(name, platform, with_other_files):
    before, after = files(platform, name), files(with_other_files, name)
    texts = {text for each in json.loads(before) for name, text in each.items() if name not in CONSTANT}
    only_secret = texts <= {"[secret]"}
    assert only_secret or before != after, "add a setting that changes it to OTHER_FILES"


@pytest.mark.parametrize("name", workloads(platform_of("prod")))
def test_rotated_secrets_roll_the_pods_that_read_them_and_no_others(name, platform, with_other_secrets):
    reads = any("secret" in volume for volume in pod_of(workloads(platform)[name])["volumes"])
    told = name == database.WORKLOAD.name  # it would be nobody's database meanwhile
    templates = [workloads(each)[name]["spec"]["template"] for each in (platform, with_other_secrets)]
    assert (templates[0] != templates[1]) == (reads and not told)

"""What a local cluster holds before anything is deployed to it: simulated nodes and a pool of simulated volumes."""

from http import HTTPStatus

from kubernetes import client

SIMULATED = {"kwok.x-k8s.io/node": "fake"}  # the annotation that makes kwok play a node's kubelet
REGION = "local"
ZONES = ("a", "b", "c")
NODE_RESOURCES = {"cpu": "16", "memory": "64Gi", "ephemeral-storage": "200Gi", "pods": "110"}
STORAGE_CLASS = "standard"
VOLUMES = 40
VOLUME_SIZE = "1Ti"
REQUEST_TIMEOUT = 5  # a second, when the computer is busy


def create_missing(api: client.ApiClient, *, nodes_per_zone: int = 1, volumes: int = VOLUMES) -> None:
    """Create the objects that are not there yet; what exists is left as it is."""
    core, storage = client.CoreV1Api(api), client.StorageV1Api(api)
    nodes = {_name(node) for node in core.list_node().items}
    present = {_name(volume) for volume in core.list_persistent_volume().items}
    classes = {_name(storage_class) for storage_class in storage.list_storage_class().items}
    for zone in ZONES:
        for number in range(nodes_per_zone):
            name = f"simulated-{zone}{number or ''}"  # the first has none
            if name not in nodes:
                core.create_node(_node(zone, name))
    if STORAGE_CLASS not in classes:
        storage.create_storage_class(_storage_class())
    for number in range(volumes):
        if f"simulated-{number:02}" not in present:
            core.create_persistent_volume(_volume(f"simulated-{number:02}"))


def ready_nodes(api: client.ApiClient) -> int:
    """How many nodes are Ready."""
    nodes = client.CoreV1Api(api).list_node(_request_timeout=REQUEST_TIMEOUT).items
    return sum(
        condition.type == "Ready" and condition.status == "True"
        for node in nodes
        for condition in (node.status and node.status.conditions) or ()
    )


def volumes_offered(api: client.ApiClient) -> bool:
    """Whether the controller manager has taken every volume into its books."""
    volumes = client.CoreV1Api(api).list_persistent_volume(_request_timeout=REQUEST_TIMEOUT).items
    return len(volumes) >= VOLUMES and all(
        volume.status and volume.status.phase in {"Available", "Bound", "Released"} for volume in volumes
    )


def is_ready(api: client.ApiClient) -> bool:
    """Whether the API server says that it is ready to serve."""
    response = api.call_api("GET", f"{api.configuration.host}/readyz", _request_timeout=REQUEST_TIMEOUT)
    return bool(response.status == HTTPStatus.OK)


def _node(zone: str, name: str) -> client.V1Node:
    return client.V1Node(
        metadata=client.V1ObjectMeta(
            name=name,
            annotations=SIMULATED,
            labels={
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "kubernetes.io/arch": "amd64",
                "topology.kubernetes.io/region": REGION,
                "topology.kubernetes.io/zone": f"{REGION}-{zone}",
                "node.kubernetes.io/instance-type": "simulated",
            },
        ),
        status=client.V1NodeStatus(capacity=NODE_RESOURCES, allocatable=NODE_RESOURCES),
    )


def _storage_class() -> client.V1StorageClass:
    return client.V1StorageClass(
        metadata=client.V1ObjectMeta(
            name=STORAGE_CLASS, annotations={"storageclass.kubernetes.io/is-default-class": "true"}
        ),
        provisioner="kubernetes.io/no-provisioner",  # the pool is all there is
        reclaim_policy="Retain",  # a stage gives the volume back to the pool
        volume_binding_mode="Immediate",
        allow_volume_expansion=True,
    )


def _volume(name: str) -> client.V1PersistentVolume:
    return client.V1PersistentVolume(
        metadata=client.V1ObjectMeta(name=name),
        spec=client.V1PersistentVolumeSpec(
            capacity={"storage": VOLUME_SIZE},
            access_modes=["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany"],
            storage_class_name=STORAGE_CLASS,
            persistent_volume_reclaim_policy="Retain",
            host_path=client.V1HostPathVolumeSource(path=f"/simulated/{name}"),  # no kubelet ever mounts it
        ),
    )


def _name(resource: client.V1Node | client.V1PersistentVolume | client.V1StorageClass) -> str | None:
    return resource.metadata.name if resource.metadata else None

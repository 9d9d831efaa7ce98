"""node-exporter sees the node's files, on every node, and can neither change them nor be more than a guest."""

import re

import pytest

from policy.exceptions import EXCEPTIONS
from tests.conftest import container_of, pod_of


@pytest.fixture
def daemon_set(platform):
    return platform.one("apps/v1:DaemonSet", "node-exporter")


@pytest.fixture
def args(daemon_set):
    return dict(each.partition("=")[::2] for each in container_of(daemon_set)["args"])


def test_it_is_in_the_only_namespace_that_admits_it(daemon_set):
    assert daemon_set["metadata"]["namespace"] == "modelcard-agents"


def test_it_runs_on_every_node_even_on_tainted_ones(daemon_set):
    assert pod_of(daemon_set)["tolerations"] == [{"operator": "Exists"}]


def test_the_node_is_mounted_to_be_read_only(daemon_set):
    (volume,) = [each for each in pod_of(daemon_set)["volumes"] if "hostPath" in each]
    (mount,) = [each for each in container_of(daemon_set)["volumeMounts"] if each["name"] == volume["name"]]
    assert volume["hostPath"] == {"path": "/", "type": "Directory"}
    assert (mount["mountPath"], mount["readOnly"], mount["mountPropagation"]) == ("/host/root", True, "HostToContainer")


def test_it_is_nobody_on_the_node(daemon_set):
    pod = pod_of(daemon_set)
    assert (pod["securityContext"]["runAsUser"], pod["securityContext"]["runAsNonRoot"]) == (10001, True)
    assert not [key for key in ("hostNetwork", "hostPID", "hostIPC") if pod.get(key)]
    assert container_of(daemon_set)["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_it_reads_the_nodes_files_and_not_the_containers(daemon_set, args):
    (mount,) = [each for each in container_of(daemon_set)["volumeMounts"] if "mountPropagation" in each]
    root = mount["mountPath"]
    paths = [args[f"--path.{name}"] for name in ("rootfs", "procfs", "sysfs", "udev.data")]
    assert paths == [root, f"{root}/proc", f"{root}/sys", f"{root}/run/udev/data"]


def test_it_tells_nothing_of_a_network_that_is_its_pods_own(args):
    collectors = {each for each in args if each.startswith("--collector.") and not args[each]}
    assert "--collector.disable-defaults" in collectors
    network = {"arp", "bonding", "conntrack", "infiniband", "ipvs", "netclass", "netdev", "netstat", "sockstat"}
    network |= {"softnet", "udp_queues", "nfs", "nfsd"}
    assert not {f"--collector.{each}" for each in network} & collectors


@pytest.mark.parametrize("collector", ["cpu", "diskstats", "filesystem", "loadavg", "meminfo", "pressure", "stat"])
def test_it_tells_what_a_node_can_run_short_of(args, collector):
    assert args[f"--collector.{collector}"] == ""


@pytest.mark.parametrize("fs_type", ["tmpfs", "overlay", "squashfs", "proc", "cgroup2", "nsfs"])
def test_what_is_no_disk_is_no_file_system(args, fs_type):
    assert re.search(args["--collector.filesystem.fs-types-exclude"], fs_type)


@pytest.mark.parametrize("fs_type", ["ext4", "xfs", "btrfs", "vfat", "zfs"])
def test_disks_are_file_systems(args, fs_type):
    assert not re.search(args["--collector.filesystem.fs-types-exclude"], fs_type)


@pytest.mark.parametrize(
    ("mount", "shown"),
    [
        ("/", True),
        ("/data", True),
        ("/var/lib/containerd", True),
        ("/var/lib/kubelet", True),
        ("/running", True),
        ("/var/lib/kubelet/pods/1/volumes/kubernetes.io~csi/pvc-1/mount", False),
        ("/var/lib/containerd/io.containerd.grpc.v1.cri/sandboxes/1/shm", False),
        ("/run", False),
        ("/run/user/1000", False),
        ("/proc", False),
        ("/sys/fs/cgroup", False),
    ],
)
def test_a_volume_is_counted_where_it_belongs(args, mount, shown):
    assert (not re.search(args["--collector.filesystem.mount-points-exclude"], mount)) == shown


def test_its_exception_is_for_reading_the_node_and_for_nothing_else():
    (exception,) = [each for each in EXCEPTIONS if each.resource.endswith("::node-exporter")]
    assert (exception.rule, exception.owner) == ("restricted-volume-types", "platform-team")

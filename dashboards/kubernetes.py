"""Kubernetes: workloads, the autoscaler, containers against their limits, quotas, volumes and nodes."""

from __future__ import annotations

from grafana_foundation_sdk.models import units

from dashboards.page import Page, Row, Variable
from dashboards.panels import About, above, below, graph, rows_of, stat

# While kube-state-metrics is replaced, two of it describe the same objects: max, never sum, over both.
OBJECT = "namespace, pod, container"
POD = 'pod=~"$pod"'
HPA = "namespace, horizontalpodautoscaler"
THROTTLED = f"namespace_pod_container:container_cpu_cfs_throttled_per_periods:ratio_rate5m{{{POD}}}"
CPU = f"namespace_pod_container:container_cpu_usage_per_limit:ratio_rate5m{{{POD}}}"
MEMORY = f"namespace_pod_container:container_memory_working_set_per_limit:ratio{{{POD}}}"
QUOTA = (
    'max by (namespace, resourcequota, resource) (kube_resourcequota{type="used", resource!="requests.storage"})'
    ' / (max by (namespace, resourcequota, resource) (kube_resourcequota{type="hard"}) > 0)'
)
MISSING = {
    "{{namespace}}/{{deployment}}": "max by (namespace, deployment) "
    "(kube_deployment_spec_replicas - kube_deployment_status_replicas_available)",
    "{{namespace}}/{{statefulset}}": "max by (namespace, statefulset) "
    "(kube_statefulset_replicas - kube_statefulset_status_replicas_ready)",
    "{{namespace}}/{{daemonset}}": "max by (namespace, daemonset) "
    "(kube_daemonset_status_desired_number_scheduled - kube_daemonset_status_number_ready)",
}
NOT_READY = (
    'sum(max by (namespace, pod) (kube_pod_status_ready{condition="true"} == bool 0)'
    ' and on (namespace, pod) kube_pod_status_phase{phase=~"Pending|Running|Unknown"} == 1) or vector(0)'
)
RESTARTS = f"max by ({OBJECT}) (increase(kube_pod_container_status_restarts_total[10m]))"
WAITING = "CrashLoopBackOff|ErrImagePull|ImagePullBackOff|InvalidImageName"
FREE = "persistentvolumeclaim:kubelet_volume_stats_available:ratio"
DISK = "node:node_filesystem_available:ratio"
NODE_MEMORY = '1 - min by (node) (node_memory_MemAvailable_bytes{job="node"} / node_memory_MemTotal_bytes)'

PAGE = Page(
    uid="kubernetes",
    title="Kubernetes",
    description="Workloads, autoscaling, limits, quotas, volumes, nodes.",
    health='up{job="kube-state-metrics"}',
    variables=[Variable(label="pod", metric="kube_pod_info")],
    glance=[
        stat(
            "Pods not ready",
            About(
                says="Pods that should be ready and are not.",
                normal="0; a few during a rollout.",
                otherwise="See the table below, then `kubectl describe pod`.",
                alerts=["PodNotReady", "PodUnschedulable"],
            ),
            NOT_READY,
            unit=units.Short,
            limits=above(1),
        ),
        stat(
            "Restarts in 10 minutes",
            About(
                says="Restarts of containers within 10 minutes.",
                normal="0.",
                otherwise="See below which, and with `kubectl logs --previous` why.",
                alerts=["CrashLooping", "ContainerOomKilled"],
            ),
            f"round(sum({RESTARTS}))",
            unit=units.Short,
            limits=above(1),
        ),
        stat(
            "Autoscaler, of its maximum",
            About(
                says="Replicas that the autoscaler wants for the application, of the most that it may have.",
                normal="Below 100%.",
                otherwise="At 100% more load makes it slower: see below which metric asks for them.",
                alerts=["HpaAtMaximum"],
            ),
            f"max(max by ({HPA}) (kube_horizontalpodautoscaler_status_desired_replicas)"
            f" / max by ({HPA}) (kube_horizontalpodautoscaler_spec_max_replicas))",
            unit=units.PercentUnit,
            limits=above(1),
        ),
        stat(
            "Memory, fullest container",
            About(
                says="Memory of a container in use, of its limit, where it is largest.",
                normal="Below 90%.",
                otherwise="At 100% it is killed: see below which, and whether it grows.",
                alerts=["MemoryNearLimit"],
            ),
            "max(namespace_pod_container:container_memory_working_set_per_limit:ratio)",
            unit=units.PercentUnit,
            limits=above(0.9),
        ),
        stat(
            "Throttled, worst container",
            About(
                says="Share of the periods in which a container was stopped by its CPU limit, where it is largest.",
                normal="Below 25%.",
                otherwise="It is felt in response times: more replicas, or a higher limit.",
                alerts=["CpuThrottling"],
            ),
            "max(namespace_pod_container:container_cpu_cfs_throttled_per_periods:ratio_rate5m) or vector(0)",
            unit=units.PercentUnit,
            limits=above(orange=0.25),
        ),
        stat(
            "Quota, fullest",
            About(
                says="Share of a namespace's quota that is taken, where it is largest; volumes are left out.",
                normal="Below 95%: a rollout needs room for one more pod.",
                otherwise="At 100% no pod can be added or replaced: see below which resource.",
                alerts=["QuotaNearLimit"],
            ),
            f"max({QUOTA})",
            unit=units.PercentUnit,
            limits=above(0.95),
        ),
        stat(
            "Emptiest volume or disk",
            About(
                says="Free share of the fullest volume or disk of a node.",
                normal="Above 25%.",
                otherwise="See below which it is; a volume is enlarged in its claim.",
                alerts=["VolumeFillingUp", "LowDiskSpace", "VolumeWillFill", "DiskWillFill"],
            ),
            f"min({FREE} or {DISK})",
            unit=units.PercentUnit,
            limits=below(0.1, orange=0.25),
        ),
    ],
    rows=[
        Row(
            "Workloads and rollouts",
            [
                [
                    graph(
                        "Replicas that are missing",
                        About(
                            says="Replicas that a workload should have and that are not available.",
                            normal="0; 1 during a rollout.",
                            otherwise="`kubectl rollout status`; see the table for what its pods wait for.",
                            alerts=["RolloutStuck"],
                        ),
                        MISSING,
                        unit=units.Short,
                    ),
                    graph(
                        "Rollouts behind",
                        About(
                            says="Pods that are not yet as their workload says, or 1 where its controller has not "
                            "looked at it.",
                            normal="0 but for the minutes of a rollout.",
                            otherwise="Longer than 15 minutes: `kubectl rollout undo`, then find out why.",
                            alerts=["RolloutStuck"],
                        ),
                        {
                            "{{namespace}}/{{deployment}}": "max by (namespace, deployment) "
                            "(kube_deployment_spec_replicas - kube_deployment_status_replicas_updated)",
                            "{{namespace}}/{{deployment}} unseen": "max by (namespace, deployment) "
                            "(kube_deployment_metadata_generation - kube_deployment_status_observed_generation)",
                            "{{namespace}}/{{statefulset}}": "max by (namespace, statefulset) "
                            "(kube_statefulset_replicas - kube_statefulset_status_replicas_updated)",
                            "{{namespace}}/{{daemonset}}": "max by (namespace, daemonset) "
                            "(kube_daemonset_status_desired_number_scheduled"
                            " - kube_daemonset_status_updated_number_scheduled)",
                        },
                        unit=units.Short,
                    ),
                    graph(
                        "Pods by phase",
                        About(
                            says="Pods of the platform's namespaces by phase.",
                            normal="`Running`, and `Succeeded` of Jobs.",
                            otherwise="`Pending`: no node has room, or an image or volume is missing.",
                            alerts=["PodUnschedulable"],
                        ),
                        {"{{phase}}": "sum by (phase) (max by (namespace, pod, phase) (kube_pod_status_phase))"},
                        unit=units.Short,
                        stacked=True,
                    ),
                ],
                [
                    rows_of(
                        "Pods",
                        About(
                            says="Every pod, whether it is ready, and on which node; those that are not come first.",
                            normal="1 for all but the pods of Jobs that have ended.",
                            otherwise="`kubectl describe pod`: its events say what it waits for.",
                            alerts=["PodNotReady"],
                        ),
                        f'sort(max by (namespace, pod, node) (kube_pod_status_ready{{condition="true", {POD}}}'
                        " * on (namespace, pod) group_left (node) max by (namespace, pod, node) (kube_pod_info)))",
                        unit=units.NoUnit,
                        columns={"namespace": "Namespace", "pod": "Pod", "node": "Node", "Value": "Ready"},
                        limits=below(1),
                    ),
                    graph(
                        "Containers that wait",
                        About(
                            says="Containers that cannot run, by reason.",
                            normal="None.",
                            otherwise="`CrashLoopBackOff`: its log. `ImagePull…`: the registry, or the image's name.",
                            alerts=["CrashLooping", "ImagePullFailing"],
                        ),
                        {
                            "{{reason}}": "sum by (reason) (max by (namespace, pod, container, reason) "
                            f'(kube_pod_container_status_waiting_reason{{reason=~"{WAITING}"}})) or on () vector(0)'
                        },
                        unit=units.Short,
                        stacked=True,
                    ),
                    graph(
                        "Restarts",
                        About(
                            says="Restarts of containers within 10 minutes, of the ten with the most.",
                            normal="0.",
                            otherwise="`kubectl logs --previous`; after an end for want of memory see the next panel.",
                            alerts=["CrashLooping", "ContainerOomKilled"],
                        ),
                        {"{{pod}} {{container}}": f"topk(10, {RESTARTS})"},
                        unit=units.Short,
                    ),
                    graph(
                        "Ends of containers, Jobs that failed",
                        About(
                            says="Containers whose last end was for want of memory, and Jobs that have failed.",
                            normal="0.",
                            otherwise="Memory: compare with its limit. A Job: its log; remove it when you know why.",
                            alerts=["ContainerOomKilled", "JobFailed"],
                        ),
                        {
                            "out of memory": f"sum(max by ({OBJECT}) "
                            '(kube_pod_container_status_last_terminated_reason{reason="OOMKilled"})) or vector(0)',
                            "failed Jobs": "sum(max by (namespace, job_name) "
                            '(kube_job_failed{condition="true"})) or vector(0)',
                        },
                        unit=units.Short,
                    ),
                ],
            ],
        ),
        Row(
            "Autoscaling",
            [
                [
                    graph(
                        "Replicas",
                        About(
                            says="Replicas that there are, that the autoscaler wants, and between which it may choose.",
                            normal="What there is follows what is wanted within a minute, and falls slowly.",
                            otherwise="At the maximum for 15 minutes: raise it, or find out where the load is from.",
                            alerts=["HpaAtMaximum"],
                        ),
                        {
                            "current": f"max by ({HPA}) (kube_horizontalpodautoscaler_status_current_replicas)",
                            "desired": f"max by ({HPA}) (kube_horizontalpodautoscaler_status_desired_replicas)",
                            "minimum": f"max by ({HPA}) (kube_horizontalpodautoscaler_spec_min_replicas)",
                            "maximum": f"max by ({HPA}) (kube_horizontalpodautoscaler_spec_max_replicas)",
                        },
                        unit=units.Short,
                    ),
                    graph(
                        "Metrics against their targets",
                        About(
                            says="Each metric of the autoscaler, of its target. Above 100% it adds replicas.",
                            normal="Around or below 100%.",
                            otherwise="One that is absent: prometheus-adapter or metrics-server does not answer.",
                            alerts=["HpaMetricMissing", "HpaCannotScale"],
                        ),
                        {
                            "{{metric_name}}": f"max by ({HPA}, metric_name, metric_target_type)"
                            " (kube_horizontalpodautoscaler_status_target_metric)"
                            f" / max by ({HPA}, metric_name, metric_target_type)"
                            " (kube_horizontalpodautoscaler_spec_target_metric)"
                        },
                        unit=units.PercentUnit,
                    ),
                    graph(
                        "Requests per second and pod",
                        About(
                            says="The metric that the autoscaler gets from prometheus-adapter, and its target.",
                            normal="Below the target.",
                            otherwise="Far above for minutes: new replicas do not become ready.",
                        ),
                        {
                            "current": f"max by ({HPA}) (kube_horizontalpodautoscaler_status_target_metric"
                            '{metric_name="http_requests_per_second"})',
                            "target": f"max by ({HPA}) (kube_horizontalpodautoscaler_spec_target_metric"
                            '{metric_name="http_requests_per_second"})',
                        },
                        unit=units.RequestsPerSecond,
                    ),
                    graph(
                        "Conditions that fail",
                        About(
                            says="1 where the autoscaler says that it cannot scale, or does not know to what.",
                            normal="0.",
                            otherwise="`kubectl -n modelcard describe hpa` names the metric that it lacks.",
                            alerts=["HpaCannotScale"],
                        ),
                        {
                            "{{condition}}": f"max by ({HPA}, condition) (kube_horizontalpodautoscaler_status_condition"
                            '{condition=~"AbleToScale|ScalingActive", status="false"})'
                        },
                        unit=units.Short,
                        maximum=1,
                    ),
                ]
            ],
        ),
        Row(
            "Containers against their limits",
            [
                [
                    graph(
                        "CPU of the limit",
                        About(
                            says="CPU that a container uses, of its limit, over 5 minutes; the ten largest.",
                            normal="Below 80%.",
                            otherwise="The application is scaled by it; others need a higher limit.",
                            alerts=["HighCpuUsage"],
                        ),
                        {"{{pod}} {{container}}": f"topk(10, {CPU})"},
                        unit=units.PercentUnit,
                        limits=above(0.8),
                    ),
                    graph(
                        "CPU throttling",
                        About(
                            says="Share of the periods in which a container was stopped by its limit; the ten largest.",
                            normal="Below 25%.",
                            otherwise="It works in bursts: more replicas, or a higher limit.",
                            alerts=["CpuThrottling"],
                        ),
                        {"{{pod}} {{container}}": f"topk(10, {THROTTLED})"},
                        unit=units.PercentUnit,
                        limits=above(orange=0.25),
                        maximum=1,
                    ),
                    graph(
                        "Memory of the limit",
                        About(
                            says="Memory that a container uses, of its limit; the ten largest.",
                            normal="Below 90%, without a slope.",
                            otherwise="A slope is a leak: restart it in time. A step follows load: raise the limit.",
                            alerts=["MemoryNearLimit"],
                        ),
                        {"{{pod}} {{container}}": f"topk(10, {MEMORY})"},
                        unit=units.PercentUnit,
                        limits=above(0.9),
                    ),
                ],
                [
                    graph(
                        "CPU by workload",
                        About(
                            says="Cores that containers use, by name.",
                            normal="The application leads.",
                            otherwise="Another that leads takes from it: look at its log.",
                        ),
                        {
                            "{{container}}": "sum by (container) "
                            f'(rate(container_cpu_usage_seconds_total{{container!="", {POD}}}[$__rate_interval]))'
                        },
                        unit=units.Short,
                        stacked=True,
                    ),
                    graph(
                        "Memory by workload",
                        About(
                            says="Memory that containers use, by name.",
                            normal="Follows the number of replicas.",
                            otherwise="Compare with the limits above.",
                        ),
                        {
                            "{{container}}": f"sum by (container) (max by ({OBJECT}) "
                            f'(container_memory_working_set_bytes{{container!="", {POD}}}))'
                        },
                        unit=units.BytesIEC,
                        stacked=True,
                    ),
                    graph(
                        "Network",
                        About(
                            says="Bytes per second that all pods receive and send.",
                            normal="Follows the requests.",
                            otherwise="Traffic without requests is a backup, or somebody who copies.",
                        ),
                        {
                            "received": f"sum(rate(container_network_receive_bytes_total{{{POD}}}[$__rate_interval]))",
                            "sent": f"sum(rate(container_network_transmit_bytes_total{{{POD}}}[$__rate_interval]))",
                        },
                        unit=units.BytesPerSecondIEC,
                    ),
                ],
            ],
        ),
        Row(
            "Quotas, volumes and nodes",
            [
                [
                    graph(
                        "Quotas",
                        About(
                            says="Share of each namespace's quota that is taken; volumes are left out.",
                            normal="Below 95%.",
                            otherwise="At its maximum the application takes 93%: more than that is something new.",
                            alerts=["QuotaNearLimit"],
                        ),
                        {"{{namespace}} {{resource}}": QUOTA},
                        unit=units.PercentUnit,
                        limits=above(0.95),
                        maximum=1,
                    ),
                    graph(
                        "Volumes",
                        About(
                            says="Free share of each volume.",
                            normal="Above 25%.",
                            otherwise="Enlarge the claim, the database's first.",
                            alerts=["VolumeFillingUp", "VolumeWillFill"],
                        ),
                        {"{{persistentvolumeclaim}}": FREE},
                        unit=units.PercentUnit,
                        limits=below(0.1, orange=0.25),
                        maximum=1,
                    ),
                    graph(
                        "Disks of nodes",
                        About(
                            says="Free share of each disk of each node.",
                            normal="Above 25%.",
                            otherwise="Below 10% the kubelet evicts pods: remove images, or replace the node.",
                            alerts=["LowDiskSpace", "DiskWillFill"],
                        ),
                        {"{{node}} {{mountpoint}}": DISK},
                        unit=units.PercentUnit,
                        limits=below(0.1, orange=0.25),
                        maximum=1,
                    ),
                    graph(
                        "Inodes of nodes",
                        About(
                            says="Free share of the inodes of each disk of each node.",
                            normal="Above 50%.",
                            otherwise="Something makes many small files: look for it below /var.",
                            alerts=["LowInodes"],
                        ),
                        {
                            "{{node}} {{mountpoint}}": "min by (node, device, mountpoint) (node_filesystem_files_free"
                            '{fstype=~"ext4|xfs", mountpoint!~"/var/lib/kubelet/.+"} / node_filesystem_files)'
                        },
                        unit=units.PercentUnit,
                        limits=below(0.1),
                        maximum=1,
                    ),
                ],
                [
                    graph(
                        "Memory of nodes",
                        About(
                            says="Share of a node's memory that is in use.",
                            normal="Below 90%.",
                            otherwise="Above it the kubelet evicts pods: see which use more than they requested.",
                            alerts=["HighMemoryUsage"],
                        ),
                        {"{{node}}": NODE_MEMORY},
                        unit=units.PercentUnit,
                        limits=above(0.9),
                        maximum=1,
                    ),
                    graph(
                        "CPU of nodes",
                        About(
                            says="Share of a node's CPU time that is in use, over 5 minutes.",
                            normal="Below 90%.",
                            otherwise="Containers get little more than they requested: add a node.",
                            alerts=["NodeCpuSaturated"],
                        ),
                        {"{{node}}": '1 - avg by (node) (rate(node_cpu_seconds_total{mode="idle"}[5m]))'},
                        unit=units.PercentUnit,
                        limits=above(0.9),
                        maximum=1,
                    ),
                    graph(
                        "Nodes that answer",
                        About(
                            says="1 while the kubelet of a node answers Prometheus.",
                            normal="1 for each node.",
                            otherwise="After 5 minutes its pods are started elsewhere, but for StatefulSets.",
                            alerts=["NodeUnreachable"],
                        ),
                        {"{{node}}": 'max by (node) (up{job=~"cadvisor|kubelet"})'},
                        unit=units.Short,
                        maximum=1,
                    ),
                    graph(
                        "Clocks of nodes",
                        About(
                            says="How far the clock of a node is off.",
                            normal="Below 10 ms.",
                            otherwise="Certificates and sessions depend on it: look at chrony on the node.",
                            alerts=["ClockSkew"],
                        ),
                        {"{{node}}": "max by (node) (abs(node_timex_offset_seconds))"},
                        unit=units.Seconds,
                        limits=above(0.05),
                    ),
                ],
            ],
        ),
    ],
)

"""Logs: whether they arrive, and what keeps them."""

from __future__ import annotations

from grafana_foundation_sdk.models import units

from dashboards.page import Page, Row
from dashboards.panels import About, above, below, graph, stat

INDEXED = "elasticsearch_index_stats_indexing_index_total"
# While the exporter is replaced there are two that count the same: the larger counts, never the sum.
ARRIVING = f'sum(max by (index) (rate({INDEXED}{{index=~".ds-logs-modelcard.app-.*"}}[10m])))'
REQUESTS = "sum(rate(http_requests_total[10m]))"
FREE = "elasticsearch_filesystem_data_available_bytes / elasticsearch_filesystem_data_size_bytes"
STORED = "elasticsearch_indices_store_size_bytes_total"
OF_STREAMS = '{index=~".ds-logs-modelcard.*"}'

PAGE = Page(
    uid="logs",
    title="Logs",
    description="From a line in a pod to Elasticsearch: what arrives, what is refused, what room is left.",
    health="elasticsearch_cluster_health_number_of_nodes",
    glance=[
        stat(
            "Red or yellow",
            About(
                says="1: some lines have no second copy, or can neither be read nor written.",
                normal="0.",
                otherwise="`GET /_cluster/allocation/explain` says why, then the runbook.",
                alerts=["ElasticsearchUnhealthy", "ElasticsearchDown"],
            ),
            'max(elasticsearch_cluster_health_status{color=~"red|yellow"})',
            unit=units.NoUnit,
            limits=above(1),
        ),
        stat(
            "Lines a second",
            About(
                says="Lines of the application and of what serves it, as they are indexed, over 10 minutes.",
                normal="More than requests a second.",
                otherwise="0 with requests: the pipeline stands still; follow the line from Filebeat on.",
                alerts=["LogPipelineStopped"],
            ),
            ARRIVING,
            unit=units.Short,
        ),
        stat(
            "Lines per request",
            About(
                says="Indexed lines for each request that was answered, over 10 minutes.",
                normal="Above 1: every request leaves a line in the application and one in nginx.",
                otherwise="Below 80% lines wait on the nodes, and the kubelet removes them in time.",
                alerts=["LogsBehind"],
            ),
            f"{ARRIVING} / ({REQUESTS} > 0)",
            unit=units.PercentUnit,
            limits=below(orange=0.8),
        ),
        stat(
            "Rejected lines",
            About(
                says="Lines that Elasticsearch would not take as they were, within 15 minutes.",
                normal="0.",
                otherwise='The saved search "Rejected lines" in Kibana has them, with the reason.',
                alerts=["LogsRejected"],
            ),
            f'sum(max by (index) (increase({INDEXED}{{index=~".ds-logs-modelcard.rejected-.*"}}[15m]))) or vector(0)',
            unit=units.Short,
            limits=above(orange=1),
        ),
        stat(
            "Least disk left",
            About(
                says="Share of its disk that the fullest node has left.",
                normal="Above 20%.",
                otherwise="At 15% it takes no new index: shorten the retention or grow the volumes.",
                alerts=["ElasticsearchDiskLow"],
            ),
            f"min({FREE})",
            unit=units.PercentUnit,
            limits=below(orange=0.2),
        ),
        stat(
            "Shippers that are down",
            About(
                says="Nodes whose Filebeat is not ready.",
                normal="0.",
                otherwise="What is written on these nodes is kept by the kubelet only.",
                alerts=["LogShipperDown"],
            ),
            'max(kube_daemonset_status_number_unavailable{daemonset="filebeat"})',
            unit=units.Short,
            limits=above(orange=1),
        ),
    ],
    rows=[
        Row(
            "What arrives",
            [
                [
                    graph(
                        "Lines by stream",
                        About(
                            says="Lines a second that are indexed, by index; its name begins with that of the stream.",
                            normal="`app` leads; `rejected` is absent.",
                            otherwise="A gap is an outage; a peak after it is what had been kept.",
                            alerts=["LogPipelineStopped", "LogsRejected"],
                        ),
                        {"{{index}}": f"topk(10, max by (index) (rate({INDEXED}{OF_STREAMS}[$__rate_interval])))"},
                        unit=units.Short,
                        stacked=True,
                    ),
                    graph(
                        "Lines and requests",
                        About(
                            says="Lines a second that are indexed, and requests a second that are answered.",
                            normal="More lines than requests.",
                            otherwise="The distance is what waits on the nodes.",
                            alerts=["LogsBehind"],
                        ),
                        {"lines": ARRIVING, "requests": REQUESTS},
                        unit=units.Short,
                    ),
                    graph(
                        "Records that their file lacks",
                        About(
                            says="Records of audit and security that the pod's own file lacks.",
                            normal="0.",
                            otherwise="They were shipped all the same; but an outage of the pipeline now loses them.",
                            alerts=["LogRecordsLost"],
                        ),
                        {"{{log}}": "sum by (log) (increase(modelcard_log_records_lost_total[10m]))"},
                        unit=units.Short,
                    ),
                ]
            ],
        ),
        Row(
            "What keeps it",
            [
                [
                    graph(
                        "Size by stream",
                        About(
                            says="Bytes on disk, copies included, by index.",
                            normal="Grows until the retention is reached, then level.",
                            otherwise="Steeper than before: see which pod writes more.",
                        ),
                        {"{{index}}": f"topk(20, max by (index) ({STORED}{OF_STREAMS}))"},
                        unit=units.BytesIEC,
                        stacked=True,
                    ),
                    graph(
                        "Disk left by node",
                        About(
                            says="Share of its disk that each node has left.",
                            normal="Above 20%, and alike.",
                            otherwise="See which streams grow, and whether old indices are deleted.",
                            alerts=["ElasticsearchDiskLow"],
                        ),
                        {"{{name}}": f"min by (name) ({FREE})"},
                        unit=units.PercentUnit,
                        limits=below(orange=0.2),
                        maximum=1,
                    ),
                    graph(
                        "Heap in use by node",
                        About(
                            says="Share of its heap that each node uses.",
                            normal="A saw-tooth below 75%.",
                            otherwise="Level above it: the node needs more memory, or fewer shards.",
                        ),
                        {
                            "{{name}}": 'max by (name) (elasticsearch_jvm_memory_used_bytes{area="heap"}'
                            ' / elasticsearch_jvm_memory_max_bytes{area="heap"})'
                        },
                        unit=units.PercentUnit,
                        maximum=1,
                    ),
                ]
            ],
        ),
    ],
)

"""Redis: the cache, as its exporter and the application see it."""

from __future__ import annotations

from grafana_foundation_sdk.models import units

from dashboards.page import Page, Row
from dashboards.panels import UP_OR_DOWN, About, above, below, graph, stat

LOOKUPS = "job_result:modelcard_cache_requests:rate5m"
HIT_RATIO = f'sum({LOOKUPS}{{result="hit"}}) / (sum({LOOKUPS}{{result=~"hit|miss"}}) > 0)'
ERROR_RATIO = f'sum({LOOKUPS}{{result="error"}}) / (sum({LOOKUPS}) > 0)'
# While the exporter is replaced there are two of it for one Redis: the larger counts, never the sum.
EVICTED = "max(rate(redis_evicted_keys_total[10m]))"
ASKED = "max(rate(redis_keyspace_hits_total[10m]) + rate(redis_keyspace_misses_total[10m]))"

PAGE = Page(
    uid="redis",
    title="Redis",
    description="The cache: memory, evictions, look-ups.",
    health="redis_up",
    glance=[
        stat(
            "Server",
            About(
                says="Whether Redis answers its exporter.",
                normal="Up. Without it the service goes on, slower.",
                otherwise="`kubectl -n modelcard get pods -l app.kubernetes.io/name=cache-redis`, then the runbook.",
                alerts=["RedisDown"],
            ),
            "max(redis_up)",
            unit=units.NoUnit,
            texts=UP_OR_DOWN,
        ),
        stat(
            "Memory in use",
            About(
                says="Share of maxmemory that Redis uses.",
                normal="A cache fills up; full is harmless as long as it evicts little.",
                otherwise="Compare with evictions and the hit ratio: only together do they call for more memory.",
                alerts=["RedisMemoryNearLimit"],
            ),
            "max(redis_memory_used_bytes / redis_memory_max_bytes)",
            unit=units.PercentUnit,
            limits=above(orange=0.9),
        ),
        stat(
            "Evictions per look-up",
            About(
                says="How many entries Redis pushes out for each that it is asked for, over 10 minutes.",
                normal="0%.",
                otherwise="Above 10% it forgets entries before they are used: give it more memory.",
                alerts=["RedisEvictions"],
            ),
            f"{EVICTED} / ({ASKED} > 0) or vector(0)",
            unit=units.PercentUnit,
            limits=above(orange=0.1),
        ),
        stat(
            "Hits",
            About(
                says="Share of the application's look-ups of the last 5 minutes that found what they sought.",
                normal="Above 50%; less for a while after Redis has started.",
                otherwise="Look at evictions, and whether a release changed keys or lifetimes.",
                alerts=["LowCacheHitRatio"],
            ),
            HIT_RATIO,
            unit=units.PercentUnit,
            limits=below(orange=0.5),
        ),
        stat(
            "Failed look-ups",
            About(
                says="Share of the application's look-ups of the last 5 minutes that got no answer.",
                normal="0%.",
                otherwise="With Redis up, look at the network policies, the password and at connections below.",
                alerts=["CacheErrors"],
            ),
            ERROR_RATIO,
            unit=units.PercentUnit,
            limits=above(0.05),
        ),
        stat(
            "Connections",
            About(
                says="Share of maxclients that are connected.",
                normal="Below 10%.",
                otherwise="See which pods hold them with `CLIENT LIST`; a leak grows with time, not with load.",
                alerts=["RedisConnectionsNearLimit"],
            ),
            "max(redis_connected_clients / redis_max_clients)",
            unit=units.PercentUnit,
            limits=above(0.8),
        ),
    ],
    rows=[
        Row(
            "The application's look-ups",
            [
                [
                    graph(
                        "Look-ups by result",
                        About(
                            says="Look-ups per second of all pods. `error`: Redis did not answer.",
                            normal="Mostly hits, no errors.",
                            otherwise="Errors: is Redis up? Misses alone: see evictions and expiries.",
                        ),
                        {"{{result}}": "sum by (result) (rate(modelcard_cache_requests_total[$__rate_interval]))"},
                        unit=units.OpsPerSecond,
                        stacked=True,
                    ),
                    graph(
                        "Hit ratio",
                        About(
                            says="Share of the answered look-ups that were hits, over 5 minutes.",
                            normal="Above 50%.",
                            otherwise="Below it for half an hour the cache is worth little: look at its lifetimes.",
                            alerts=["LowCacheHitRatio"],
                        ),
                        {"hits": HIT_RATIO},
                        unit=units.PercentUnit,
                        limits=below(orange=0.5),
                        maximum=1,
                    ),
                    graph(
                        "Failed look-ups over time",
                        About(
                            says="Share of the look-ups that got no answer, over 5 minutes.",
                            normal="0%.",
                            otherwise="The application serves from the database meanwhile: watch that, too.",
                            alerts=["CacheErrors"],
                        ),
                        {"errors": ERROR_RATIO},
                        unit=units.PercentUnit,
                        limits=above(0.05),
                    ),
                ]
            ],
        ),
        Row(
            "Memory",
            [
                [
                    graph(
                        "Bytes in use",
                        About(
                            says="What Redis uses, what it may use, and what the system gave to it.",
                            normal="Used below its maximum; resident a little above used.",
                            otherwise="Resident far above used is fragmentation: it comes down with a restart.",
                        ),
                        {
                            "used": "max(redis_memory_used_bytes)",
                            "maximum": "max(redis_memory_max_bytes)",
                            "resident": "max(redis_memory_used_rss_bytes)",
                        },
                        unit=units.BytesIEC,
                    ),
                    graph(
                        "Share of maxmemory",
                        About(
                            says="Memory in use, of what Redis may use.",
                            normal="Any, as long as few entries are evicted.",
                            otherwise="Full and evicting for half an hour: think about more memory.",
                            alerts=["RedisMemoryNearLimit"],
                        ),
                        {"used": "max(redis_memory_used_bytes / redis_memory_max_bytes)"},
                        unit=units.PercentUnit,
                        limits=above(orange=0.9),
                    ),
                    graph(
                        "Entries that go",
                        About(
                            says="Entries per second that expire, and that are evicted for want of memory.",
                            normal="They expire.",
                            otherwise="Evictions of more than a tenth of the look-ups: the cache is too small.",
                            alerts=["RedisEvictions"],
                        ),
                        {
                            "expired": "max(rate(redis_expired_keys_total[$__rate_interval]))",
                            "evicted": "max(rate(redis_evicted_keys_total[$__rate_interval]))",
                        },
                        unit=units.OpsPerSecond,
                    ),
                    graph(
                        "Entries",
                        About(
                            says="Keys that Redis holds.",
                            normal="Level.",
                            otherwise="A fall to 0 is a restart or a flush: the database carries the load meanwhile.",
                        ),
                        {"{{db}}": "max by (db) (redis_db_keys)"},
                        unit=units.Short,
                    ),
                ]
            ],
        ),
        Row(
            "The server",
            [
                [
                    graph(
                        "Commands",
                        About(
                            says="Commands per second, by kind.",
                            normal="`get` and `set` lead.",
                            otherwise="`keys`, `scan` or `flushall` among them: somebody works on it by hand.",
                        ),
                        {"{{cmd}}": "topk(10, max by (cmd) (rate(redis_commands_total[$__rate_interval])))"},
                        unit=units.OpsPerSecond,
                        stacked=True,
                    ),
                    graph(
                        "Mean duration of commands",
                        About(
                            says="How long Redis is busy with a command, on average.",
                            normal="Below 0.1 ms.",
                            otherwise="It does one at a time: one slow kind delays all. See `SLOWLOG GET`.",
                        ),
                        {
                            "{{cmd}}": "topk(10, max by (cmd) (rate(redis_commands_duration_seconds_total"
                            "[$__rate_interval]) / rate(redis_commands_total[$__rate_interval])))"
                        },
                        unit=units.Seconds,
                    ),
                    graph(
                        "Connections over time",
                        About(
                            says="Clients that are connected, and the most that may be.",
                            normal="Follows the number of application pods.",
                            otherwise="Growing without load: a leak; restart the pods of the application one by one.",
                            alerts=["RedisConnectionsNearLimit"],
                        ),
                        {"connected": "max(redis_connected_clients)", "maximum": "max(redis_max_clients)"},
                        unit=units.Short,
                    ),
                    graph(
                        "Refused connections",
                        About(
                            says="Connections that Redis refused within 5 minutes because maxclients were connected.",
                            normal="0.",
                            otherwise="Raise maxclients only after the clients that leak have been found.",
                            alerts=["RedisRejectedConnections"],
                        ),
                        {"refused": "max(increase(redis_rejected_connections_total[5m]))"},
                        unit=units.Short,
                    ),
                ]
            ],
        ),
    ],
)

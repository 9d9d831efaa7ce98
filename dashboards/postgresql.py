"""PostgreSQL: the database, as its exporter and the application's queries see it."""

from __future__ import annotations

from grafana_foundation_sdk.models import units

from dashboards.page import Page, Row, Variable
from dashboards.panels import UP_OR_DOWN, About, above, below, graph, stat

# While the exporter is replaced there are two of it for one server: the larger counts, never the sum.
CONNECTIONS = (
    'max(sum by (instance) (pg_stat_activity_count{backend_type="client backend"})'
    " / on (instance) pg_settings_max_connections)"
)
OLDEST = 'max(pg_stat_activity_max_tx_duration{backend_type="client backend"})'
LOCKS = 'sum by (instance, datname) (pg_stat_activity_count{wait_event_type="Lock", datname=~"$datname"})'
DATABASE = 'datname=~"$datname", datname!~"template.*"'
HIT = f"rate(pg_stat_database_blks_hit{{{DATABASE}}}[30m])"
READ = f"rate(pg_stat_database_blks_read{{{DATABASE}}}[30m])"
FREE = 'persistentvolumeclaim:kubelet_volume_stats_available:ratio{persistentvolumeclaim="database-data"}'
DEAD = (
    "pg_stat_user_tables_n_dead_tup{DATABASE} / (pg_stat_user_tables_n_live_tup{DATABASE} "
    "+ pg_stat_user_tables_n_dead_tup{DATABASE} > 0)"
).replace("{DATABASE}", '{datname=~"$datname"}')
PER_DATABASE = "max by (datname) (rate(pg_stat_database_{}{{{}}}[$__rate_interval]))"

PAGE = Page(
    uid="postgresql",
    title="PostgreSQL",
    description="The database: connections, queries, locks, storage.",
    health="pg_up",
    variables=[Variable(label="datname", metric="pg_database_size_bytes")],
    glance=[
        stat(
            "Server",
            About(
                says="Whether PostgreSQL answers its exporter.",
                normal="Up.",
                otherwise="`kubectl -n modelcard logs database-postgres-0`, then the runbook.",
                alerts=["DatabaseConnectionIssues"],
            ),
            "max(pg_up)",
            unit=units.NoUnit,
            texts=UP_OR_DOWN,
        ),
        stat(
            "Connections",
            About(
                says="Share of max_connections that clients have taken.",
                normal="Up to 84%, which is what the application's pods may use.",
                otherwise="Above 85% the reserve is being used: see below who holds them.",
                alerts=["DatabaseConnectionsNearLimit"],
            ),
            CONNECTIONS,
            unit=units.PercentUnit,
            limits=above(0.85),
        ),
        stat(
            "Oldest transaction",
            About(
                says="For how long the oldest transaction of a client has been open.",
                normal="Below 10 s, after which the application's end.",
                otherwise="Above 5 minutes somebody has forgotten it: it holds locks and dead rows.",
                alerts=["LongRunningTransaction"],
            ),
            f"{OLDEST} or vector(0)",
            unit=units.Seconds,
            limits=above(300),
        ),
        stat(
            "Waiting for locks",
            About(
                says="Sessions that wait for a lock, in the database with the most.",
                normal="0; a few for a moment.",
                otherwise="More than 10 is a queue that grows anew: find the session at its head with the runbook.",
                alerts=["DatabaseLockWaits"],
            ),
            f"max({LOCKS}) or vector(0)",
            unit=units.Short,
            limits=above(10),
        ),
        stat(
            "p95, slowest query",
            About(
                says="95% of the application's queries take at most this long, over 5 minutes, for the slowest "
                "operation on a table.",
                normal="Below 50 ms.",
                otherwise="See below which it is; ask PostgreSQL for its plan.",
                alerts=["SlowQueries"],
            ),
            "max(job_operation_table:database_query_duration_seconds:p95_rate5m >= 0) or vector(0)",
            unit=units.Seconds,
            limits=above(1),
        ),
        stat(
            "Volume free",
            About(
                says="Share of the database's volume that is free.",
                normal="Above 25%.",
                otherwise="Full, it stops PostgreSQL: enlarge the claim before 10%.",
                alerts=["VolumeFillingUp", "VolumeWillFill"],
            ),
            f"min({FREE})",
            unit=units.PercentUnit,
            limits=below(0.1, orange=0.25),
        ),
    ],
    rows=[
        Row(
            "Connections and transactions",
            [
                [
                    graph(
                        "Connections by state",
                        About(
                            says="Connections of clients by what they do, and the most that there may be.",
                            normal="Mostly `idle`.",
                            otherwise="`idle in transaction` that stays holds locks: find who forgot to commit.",
                            alerts=["DatabaseConnectionsNearLimit"],
                        ),
                        {
                            "{{state}}": "max by (state) (sum by (instance, state) (pg_stat_activity_count"
                            '{backend_type="client backend", datname=~"$datname"}))',
                            "maximum": "max(pg_settings_max_connections)",
                        },
                        unit=units.Short,
                    ),
                    graph(
                        "Connections by user",
                        About(
                            says="Connections of clients by user and application.",
                            normal="Nearly all are the application's.",
                            otherwise="Another that takes many is a job or a person: ask them.",
                        ),
                        {
                            "{{usename}} {{application_name}}": "max by (usename, application_name) (sum by "
                            "(instance, usename, application_name) (pg_stat_activity_count"
                            '{backend_type="client backend", datname=~"$datname"}))'
                        },
                        unit=units.Short,
                        stacked=True,
                    ),
                    graph(
                        "Transactions",
                        About(
                            says="Transactions per second that were committed and rolled back.",
                            normal="Hardly any rolled back.",
                            otherwise="Many rolled back: the application's log has the errors.",
                        ),
                        {
                            "{{datname}} committed": PER_DATABASE.format("xact_commit", DATABASE),
                            "{{datname}} rolled back": PER_DATABASE.format("xact_rollback", DATABASE),
                        },
                        unit=units.OpsPerSecond,
                    ),
                    graph(
                        "Oldest transaction by user",
                        About(
                            says="For how long the oldest transaction of each user has been open.",
                            normal="Below 10 s.",
                            otherwise="Above 5 minutes: `pg_terminate_backend`, as the runbook says.",
                            alerts=["LongRunningTransaction"],
                        ),
                        {
                            "{{usename}} {{application_name}}": "max by (usename, application_name) "
                            '(pg_stat_activity_max_tx_duration{backend_type="client backend", datname=~"$datname"})'
                            " or on () vector(0)"
                        },
                        unit=units.Seconds,
                        limits=above(300),
                    ),
                ]
            ],
        ),
        Row(
            "The application's queries",
            [
                [
                    graph(
                        "Queries",
                        About(
                            says="Queries per second of all pods of the application, by operation and table.",
                            normal="Follows the requests.",
                            otherwise="Many more than requests: the cache fails, see the Redis dashboard.",
                        ),
                        {
                            "{{operation}} {{table}}": "sum by (operation, table) "
                            "(rate(database_queries_total[$__rate_interval]))"
                        },
                        unit=units.OpsPerSecond,
                        stacked=True,
                    ),
                    graph(
                        "p95 of queries",
                        About(
                            says="95% of the queries take at most this long, over 5 minutes.",
                            normal="Below 50 ms.",
                            otherwise="All alike: CPU, disk or locks. One alone: its plan.",
                            alerts=["SlowQueries"],
                        ),
                        {"{{operation}} {{table}}": "job_operation_table:database_query_duration_seconds:p95_rate5m"},
                        unit=units.Seconds,
                        limits=above(1),
                    ),
                    graph(
                        "Rows",
                        About(
                            says="Rows per second that queries fetched and changed.",
                            normal="Follows the queries.",
                            otherwise="Fetched rows that grow alone: an index is missing.",
                        ),
                        {
                            operation: f"sum(max by (datname) (rate(pg_stat_database_tup_{operation}"
                            f"{{{DATABASE}}}[$__rate_interval])))"
                            for operation in ("fetched", "inserted", "updated", "deleted")
                        },
                        unit=units.OpsPerSecond,
                    ),
                ]
            ],
        ),
        Row(
            "Locks and vacuum",
            [
                [
                    graph(
                        "Sessions that wait for locks",
                        About(
                            says="Sessions that wait for a lock at the moment of the scrape.",
                            normal="0; a few for a moment.",
                            otherwise="A migration, or a transaction that is left open: see the oldest above.",
                            alerts=["DatabaseLockWaits"],
                        ),
                        {"{{datname}}": f"max by (datname) ({LOCKS}) or on () vector(0)"},
                        unit=units.Short,
                        limits=above(10),
                    ),
                    graph(
                        "Deadlocks",
                        About(
                            says="Transactions that PostgreSQL ended within 10 minutes because they waited for each "
                            "other.",
                            normal="0.",
                            otherwise="More than 5: two statements take the same locks in a different order.",
                            alerts=["DatabaseDeadlocks"],
                        ),
                        {"{{datname}}": f"max by (datname) (increase(pg_stat_database_deadlocks{{{DATABASE}}}[10m]))"},
                        unit=units.Short,
                        limits=above(5),
                    ),
                    graph(
                        "Dead rows",
                        About(
                            says="Share of the rows of a table that are dead, of the ten with the most.",
                            normal="Below 17%, where autovacuum begins.",
                            otherwise="Above 33% for an hour, in a table of some size, vacuum does not keep up.",
                            alerts=["DatabaseVacuumBehind"],
                        ),
                        {"{{schemaname}}.{{relname}}": f"topk(10, max by (schemaname, relname) ({DEAD}))"},
                        unit=units.PercentUnit,
                        limits=above(orange=0.33),
                    ),
                    graph(
                        "Transactions not frozen",
                        About(
                            says="How many transactions ago the oldest row was written that is not frozen yet.",
                            normal="Below 200 million, where autovacuum begins to freeze.",
                            otherwise="Above 1000 million it cannot; at 2100 million PostgreSQL refuses to write.",
                            alerts=["TransactionIdWraparound"],
                        ),
                        {"{{datname}}": "max by (datname) (pg_database_wraparound_age_datfrozenxid_seconds)"},
                        unit=units.Short,
                        limits=above(orange=1e9),
                    ),
                    graph(
                        "Time since the start",
                        About(
                            says="How long PostgreSQL has been running.",
                            normal="It grows.",
                            otherwise="A fall that no deployment explains is a crash or an eviction.",
                            alerts=["DatabaseRestarted"],
                        ),
                        {"running": "time() - max(pg_postmaster_start_time_seconds)"},
                        unit=units.Seconds,
                    ),
                ]
            ],
        ),
        Row(
            "Storage",
            [
                [
                    graph(
                        "Size",
                        About(
                            says="Size of each database, and of the write-ahead log.",
                            normal="Grows slowly; the log stays level.",
                            otherwise="A log that grows waits for an archive or a replica: see the server's log.",
                        ),
                        {
                            "{{datname}}": f"max by (datname) (pg_database_size_bytes{{{DATABASE}}})",
                            "write-ahead log": "max(pg_wal_size_bytes)",
                        },
                        unit=units.BytesIEC,
                        stacked=True,
                    ),
                    graph(
                        "Volume",
                        About(
                            says="Share of the database's volume that is free.",
                            normal="Above 25%.",
                            otherwise="Enlarge the claim; it cannot be done once PostgreSQL has stopped.",
                            alerts=["VolumeFillingUp", "VolumeWillFill"],
                        ),
                        {"{{persistentvolumeclaim}}": f"min by (persistentvolumeclaim) ({FREE})"},
                        unit=units.PercentUnit,
                        limits=below(0.1, orange=0.25),
                        maximum=1,
                    ),
                    graph(
                        "Blocks found in memory",
                        About(
                            says="Share of the blocks that queries needed and that were in shared_buffers, over "
                            "30 minutes.",
                            normal="Above 90%.",
                            otherwise="With a disk that is read a lot, the database has outgrown its memory.",
                            alerts=["DatabaseCacheHitLow"],
                        ),
                        {"{{datname}}": f"min by (datname) ({HIT} / ({HIT} + {READ}))"},
                        unit=units.PercentUnit,
                        limits=below(orange=0.9),
                        maximum=1,
                    ),
                    graph(
                        "Temporary files",
                        About(
                            says="Bytes per second that queries wrote to files because work_mem was too small.",
                            normal="0.",
                            otherwise="A query sorts or joins too much: look for it in the server's log.",
                        ),
                        {"{{datname}}": PER_DATABASE.format("temp_bytes", DATABASE)},
                        unit=units.BytesPerSecondIEC,
                    ),
                ]
            ],
        ),
    ],
)

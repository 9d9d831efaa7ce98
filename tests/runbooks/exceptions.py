"""The command blocks that are not executed here, and why. An entry that is not needed fails, or is about no block."""

from __future__ import annotations

LOGS = "no Elasticsearch, Logstash or Filebeat runs here"
INCIDENTS = "it asks a responder that has incidents; tests/ops/incidents does"
BUCKET = "it asks a bucket with backups; tests/ops/backup does"
RECOVERY = "it deploys what is lost; tests/engine and tests/e2e do"
# The page, the beginning of a line of the block, and the reason.
NOT_EXECUTED: tuple[tuple[str, str, str], ...] = (
    ("backup-bucket-unreadable", "kubectl -n modelcard-observability logs deployment/backup-exporter", BUCKET),
    ("disaster-recovery", "mcenv recover prod --at newest", RECOVERY),
    ("disaster-recovery", "mcenv recover prod --at 2026-01-31T02:00:00Z", RECOVERY),
    ("disaster-recovery", "mcops backup list", BUCKET),
    ("elasticsearch-disk-low", "search()", LOGS),
    ("elasticsearch-down", "kubectl -n modelcard-observability", LOGS),
    ("elasticsearch-unhealthy", "search()", LOGS),
    ("incident-escalation-missed", "mcops incident list", INCIDENTS),
    ("incident-messages-waiting", "mcops incident list", INCIDENTS),
    ("incident-response-late", "mcops incident list", INCIDENTS),
    ("log-pipeline-stopped", "kubectl -n modelcard-agents logs", LOGS),
    ("log-shipper-down", "kubectl -n modelcard-agents logs", LOGS),
    ("logs-behind", "kubectl -n modelcard-agents logs", LOGS),
    ("logs-rejected", "search()", LOGS),
    (
        "clock-skew",
        "kubectl debug node/NODE",
        "timedatectl and chronyc ask the node's systemd and time service, which the container of a test run lacks",
    ),
)

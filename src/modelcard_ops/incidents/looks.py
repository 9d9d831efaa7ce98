"""What an assessment looks at: the steps of the operations guide's P0 script, each of which may fail by itself."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import httpx

from modelcard_ops.incidents.assessment import Found, Look, NoAnswerError, Status
from modelcard_ops.incidents.sources import TIMEOUT, Cluster, Monitoring

RECENT = 24 * 3600  # seconds; what was deployed before is not today's suspect
LOG_LINES, LOG_BYTES, LOG_SECONDS, LOG_PODS = 100, 256 * 1024, 900, 20
FULL = 0.9  # of memory or CPU: the operations guide's HighMemoryUsage
LEVELS = frozenset({"ERROR", "CRITICAL", "FATAL"})
# The operations guide's `grep -E "(ERROR|FATAL|Exception)"`, for lines that are not JSON.
PLAIN_ERROR = re.compile(r"\b(ERROR|FATAL|CRITICAL)\b|Exception|Traceback")
ERROR_RATIO = 'sum(rate(http_requests_total{status=~"5.."}[5m])) / sum(rate(http_requests_total[5m]))'
HIGH_ERROR_RATIO = 0.1  # the operations guide's HighErrorRate


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Whom to ask. What is None is not asked, and what it would have said is unknown."""

    cluster: Cluster
    namespaces: Sequence[str]
    workload: str
    service_url: str = ""
    prometheus: Monitoring | None = None
    database: tuple[str, int] | None = None


def looks(sources: Sources) -> dict[str, Look]:
    """All of them, by name."""
    found: Mapping[str, Callable[[Sources], Found]] = {
        "health": health,
        "metrics": metrics,
        "database": database,
        "deployments": deployments,
        "pods": pods,
        "error logs": error_logs,
        "resources": resources,
    }
    return {name: _bound(look, sources) for name, look in found.items()}


def _bound(look: Callable[[Sources], Found], sources: Sources) -> Look:
    return lambda: look(sources)


def health(sources: Sources) -> Found:
    """What the service says of itself."""
    status, body = _of_service(sources, "/health")
    if not status:
        return Found(status="unhealthy", summary=f"it does not answer: {body}")
    try:
        report = json.loads(body)
        checks = {name: each["status"] for name, each in report["checks"].items()}
        overall = str(report["status"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return Found(status="unhealthy", summary=f"/health answers HTTP {status} with no report")
    bad = [f"{name} {each}" for name, each in checks.items() if each != "healthy"]
    well = status == 200 and overall == "healthy" and not bad
    summary = "healthy" if well else f"HTTP {status}, {overall}: {', '.join(bad) or 'no check says why'}"
    details = [f"{name}: {each.get('details', {}).get('error', '')}" for name, each in report["checks"].items()]
    errors = [line for line in details if not line.endswith(": ")]
    return Found(status="healthy" if well else "unhealthy", summary=summary, details=errors)


def metrics(sources: Sources) -> Found:
    """Whether the service tells its metrics, and what Prometheus makes of them."""
    status, body = _of_service(sources, "/metrics")
    if not status:
        return Found(status="unhealthy", summary=f"the service does not answer: {body}")
    if status != 200 or "http_requests_total" not in body:
        return Found(status="unhealthy", summary=f"/metrics answers HTTP {status} without the service's metrics")
    prometheus = _prometheus(sources)
    down = [f"{each['metric'].get('job')} {each['metric'].get('pod', '')}" for each in prometheus.query("up == 0")]
    alerts = prometheus.query('ALERTS{alertstate="firing", severity!="none"}')
    ratio = prometheus.number(ERROR_RATIO)
    errors = "no requests" if ratio is None or ratio != ratio else f"{ratio:.1%} of requests fail"  # noqa: PLR0124 - NaN
    bad = bool(down) or (ratio is not None and ratio > HIGH_ERROR_RATIO)
    details = [
        *(f"does not answer: {each}" for each in sorted(down)),
        *sorted({f"firing: {each['metric']['alertname']} {each['metric'].get('priority', '')}" for each in alerts}),
    ]
    summary = f"{errors}, {len(down)} targets down, {len(alerts)} alerts firing"
    return Found(status="unhealthy" if bad else "healthy", summary=summary, details=details)


def database(sources: Sources) -> Found:
    """Whether PostgreSQL accepts connections, as `pg_isready` asks it; elsewhere, what its exporter says."""
    if sources.database is None:
        up = _prometheus(sources).number("max(pg_up)")
        if up is None:
            raise NoAnswerError("its exporter says nothing, and it cannot be asked from here")
        return Found(status="healthy" if up == 1 else "unhealthy", summary=f"its exporter says pg_up {up:g}")
    from psycopg import pq

    host, port = sources.database
    answer = pq.PGconn.ping(f"host={host} port={port} connect_timeout=5".encode())
    said: Mapping[pq.Ping, tuple[Status, str]] = {
        pq.Ping.OK: ("healthy", "accepts connections"),
        pq.Ping.REJECT: ("unhealthy", "refuses connections: it starts, stops or recovers"),
        pq.Ping.NO_RESPONSE: ("unhealthy", "does not answer"),
    }
    status, text = said.get(pq.Ping(answer), ("unknown", "could not be asked"))
    return Found(status=status, summary=f"{host}:{port} {text}")


def deployments(sources: Sources) -> Found:
    """Whether all is rolled out, and what was deployed within a day."""
    incomplete, recent = [], []
    now = datetime.now(UTC)
    for namespace in sources.namespaces:
        for kind in ("deployments", "statefulsets"):
            for each in sources.cluster.items(f"/apis/apps/v1/namespaces/{namespace}/{kind}"):
                name, status = each["metadata"]["name"], each.get("status", {})
                wanted, ready = each["spec"].get("replicas", 1), status.get("readyReplicas", 0)
                behind = status.get("observedGeneration", 0) < each["metadata"].get("generation", 0)
                if ready < wanted or status.get("updatedReplicas", wanted) < wanted or behind:
                    incomplete.append(f"{namespace}/{name} {ready} of {wanted}")
        for each in sources.cluster.items(f"/apis/apps/v1/namespaces/{namespace}/replicasets"):
            age = (now - _moment(each["metadata"]["creationTimestamp"])).total_seconds()
            if age < RECENT:
                recent.append((age, _deployed(each, age)))
    details = [*(f"not complete: {each}" for each in incomplete), *(text for _, text in sorted(recent))]
    summary = f"{len(incomplete)} not complete, {len(recent)} deployed within a day"
    return Found(status="unhealthy" if incomplete else "healthy", summary=summary, details=details)


def _deployed(replica_set: Mapping[str, Any], age: float) -> str:
    metadata = replica_set["metadata"]
    owner = (metadata.get("ownerReferences") or [{"name": metadata["name"]}])[0]["name"]
    revision = metadata.get("annotations", {}).get("deployment.kubernetes.io/revision", "?")
    images = ", ".join(each["image"] for each in replica_set["spec"]["template"]["spec"]["containers"])
    return f"{owner} revision {revision}, {age / 60:.0f} min ago: {images}"


def pods(sources: Sources) -> Found:
    """Pods that do not run, and why."""
    every = [each for namespace in sources.namespaces for each in _pods(sources, namespace)]
    failing = [line for each in every for line in _trouble(each)]
    summary = f"{len(failing)} of {len(every)} pods fail" if every else "there are no pods"
    return Found(status="unhealthy" if failing or not every else "healthy", summary=summary, details=failing)


def _trouble(pod: Mapping[str, Any]) -> Iterator[str]:
    status, name = pod.get("status", {}), f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
    phase = status.get("phase")
    conditions = {each["type"]: each for each in status.get("conditions", [])}
    if phase == "Succeeded" or (phase == "Running" and conditions.get("Ready", {}).get("status") == "True"):
        return
    reasons = [
        each["state"][state].get("reason", state)
        for each in (*status.get("initContainerStatuses", []), *status.get("containerStatuses", []))
        for state in ("waiting", "terminated")
        if state in each.get("state", {}) and each["state"][state].get("reason") != "Completed"
    ]
    restarts = sum(each.get("restartCount", 0) for each in status.get("containerStatuses", []))
    unscheduled = conditions.get("PodScheduled", {})
    if unscheduled.get("status") == "False":
        reasons.append(f"{unscheduled.get('reason')}: {unscheduled.get('message', '')}"[:200])
    yield f"{name}: {phase}, {', '.join(reasons) or 'not ready'}, {restarts} restarts"


def error_logs(sources: Sources) -> Found:
    """Errors of the last quarter of an hour in the service's logs."""
    selector = f"app.kubernetes.io/name={sources.workload}"
    running = _pods(sources, sources.namespaces[0], labelSelector=selector)
    if not running:
        raise NoAnswerError(f"there is no pod of {sources.workload} whose log could be read")
    errors, unread = list[str](), list[str]()
    for pod in running[:LOG_PODS]:
        name = pod["metadata"]["name"]
        try:
            text = sources.cluster.text(
                f"/api/v1/namespaces/{sources.namespaces[0]}/pods/{name}/log",
                container=pod["spec"]["containers"][0]["name"],
                tailLines=LOG_LINES,
                limitBytes=LOG_BYTES,
                sinceSeconds=LOG_SECONDS,
            )
        except NoAnswerError as error:
            unread.append(f"{name}: {error}")
            continue
        errors += [f"{name}: {each}" for line in text.splitlines() if (each := error_of(line))]
    if not errors and unread:
        raise NoAnswerError(f"{len(unread)} of {len(running)} logs cannot be read: {unread[0]}")
    summary = f"{len(errors)} errors in the last lines of {len(running) - len(unread)} pods"
    return Found(status="unhealthy" if errors else "healthy", summary=summary, details=[*errors[-10:], *unread])


def error_of(line: str) -> str:
    """What a line of a log says if it is an error; nothing otherwise."""
    try:
        record = json.loads(line)
    except ValueError:
        return line[:200] if PLAIN_ERROR.search(line) else ""
    if not isinstance(record, dict) or str(record.get("level", "")).upper() not in LEVELS:
        return ""
    return f"{record.get('message', '')}"[:200]


def resources(sources: Sources) -> Found:
    """Memory and CPU that are nearly used up, of pods and nodes."""
    full = list[str]()
    for namespace in sources.namespaces:
        limits = {pod["metadata"]["name"]: pod for pod in _pods(sources, namespace)}
        for usage in sources.cluster.items(f"/apis/metrics.k8s.io/v1beta1/namespaces/{namespace}/pods"):
            pod = limits.get(usage["metadata"]["name"])
            full += _full_containers(usage, pod) if pod else []
    nodes = {each["metadata"]["name"]: each["status"]["allocatable"] for each in sources.cluster.items("/api/v1/nodes")}
    for usage in sources.cluster.items("/apis/metrics.k8s.io/v1beta1/nodes"):
        name = usage["metadata"]["name"]
        for resource in ("cpu", "memory"):
            share = _share(usage["usage"].get(resource), nodes.get(name, {}).get(resource))
            if share > FULL:
                full.append(f"node {name} uses {share:.0%} of its {resource}")
    summary = f"{len(full)} above {FULL:.0%} of what they may use" if full else f"all below {FULL:.0%}"
    return Found(status="unhealthy" if full else "healthy", summary=summary, details=full)


def _full_containers(usage: Mapping[str, Any], pod: Mapping[str, Any]) -> Iterator[str]:
    limits = {each["name"]: each.get("resources", {}).get("limits", {}) for each in pod["spec"]["containers"]}
    for container in usage.get("containers", []):
        for resource in ("cpu", "memory"):
            share = _share(container["usage"].get(resource), limits.get(container["name"], {}).get(resource))
            if share > FULL:
                yield f"{usage['metadata']['name']} {container['name']} uses {share:.0%} of its {resource} limit"


def _share(used: str | None, of: str | None) -> Decimal:
    from kubernetes.utils.quantity import parse_quantity

    if not used or not of:
        return Decimal(0)
    whole: Decimal = parse_quantity(of)
    return Decimal(parse_quantity(used)) / whole if whole else Decimal(0)


def _pods(sources: Sources, namespace: str, **parameters: str) -> list[dict[str, Any]]:
    return sources.cluster.items(f"/api/v1/namespaces/{namespace}/pods", **parameters)


def _prometheus(sources: Sources) -> Monitoring:
    if sources.prometheus is None:
        raise NoAnswerError("Prometheus cannot be asked from here: set its URL, or have the responder look")
    return sources.prometheus


def _of_service(sources: Sources, path: str) -> tuple[int, str]:
    """Status and body of an answer, through the Kubernetes API where there is no other way; 0 and why without one."""
    if not sources.service_url:
        namespace = sources.namespaces[0]
        return 200, sources.cluster.text(f"/api/v1/namespaces/{namespace}/services/{sources.workload}:http/proxy{path}")
    try:
        response = httpx.get(f"{sources.service_url}{path}", timeout=TIMEOUT)
    except httpx.HTTPError as error:
        return 0, f"{type(error).__name__}"
    return response.status_code, response.text


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)

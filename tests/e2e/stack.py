"""The stack `e2e` on the cluster of the caller's kubeconfig, with an S3 beside it, and how it is spoken to."""

from __future__ import annotations

import base64
import json
import secrets as randomness
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from infra.environments import deployment, secrets
from infra.environments.engine import Engine, Operation, Outcome, Progress
from infra.environments.workspace import ROOT, Workspace, bare_project, workspace
from infra.kube.identity import namespace_names
from infra.parts.ground import USER
from infra.settings import Settings
from infra.settings_reading import merge
from tests.app.servers import eventually, free_port
from tests.e2e.absent import finishing
from tests.e2e.images import STORAGE
from tests.kubectl import KUBECTL, kubectl
from tests.stack_file import configure

STACK = "e2e"
NAMESPACE = "modelcard-e2e"
STORAGE_NAMESPACE = f"{NAMESPACE}-storage"
STORAGE_NAME = f"storage.{STORAGE_NAMESPACE}.svc"
BUCKET = "modelcard-e2e-backups"
READY = 300  # seconds
# What a node of two processors can take beside the load: numbers of pods are dev's or less.
SETTINGS: dict[str, Any] = {
    "environment": "dev",
    "namespace": NAMESPACE,
    "edge": {"host": "modelcard-e2e.localhost"},
    "app": {"uploads": {"size": "1Gi"}, "replicas": {"max": 3}},
}


class Stack:
    """Deployed by `up`, removed by `down`; everything of it on this machine is in `folder`."""

    def __init__(self, folder: Path, say: Progress) -> None:
        self.folder, self.say = folder, say
        self.keys = {"access_key": randomness.token_hex(10), "secret_key": randomness.token_hex(20)}
        self.authority = secrets._authority("modelcard-e2e storage")
        self.space = self._workspace()

    @property
    def settings(self) -> Settings:
        return deployment.settings_of(self.space)

    @property
    def namespaces(self) -> dict[str, str]:
        return dict(namespace_names(self.settings))

    def configure(self, **overrides: Any) -> None:
        """Writes the stack file: what was generated stays, everything else is as declared here."""
        configure(self.space.stack_file, merge({**SETTINGS, "backup": self._backup()}, overrides))

    def up(self, **overrides: Any) -> Outcome:
        """Deploys it, with its storage and secrets the first time."""
        self.configure(**overrides)
        if secrets.KEY not in self.space.config():
            self._start_storage()
            Engine(self.space).select()
            secrets.initialise(self.space, self.settings)
        with finishing(self):
            return deployment.up(self.space, self.say)

    def clear(self) -> None:
        """Removes what a run that was killed has left: nobody knows its state any more."""
        left = (*self.namespaces.values(), STORAGE_NAMESPACE)
        for each in json.loads(self.kubectl("get", "apiservices", "-o", "json"))["items"]:
            if each["spec"].get("service", {}).get("namespace") in left:
                # An API that nobody answers keeps every namespace from ending.
                self.kubectl("delete", "apiservice", each["metadata"]["name"])
        self.kubectl("delete", "namespace", *left, "--ignore-not-found", f"--timeout={READY}s", within=READY + 10)

    def down(self) -> None:
        """Removes it, whatever there is of it, and whatever was interrupted."""
        Engine(self.space).run(Operation.DESTROY, self.say, repair=True)
        self.kubectl("delete", "namespace", STORAGE_NAMESPACE, "--ignore-not-found")

    def kubectl(self, *words: str, stdin: str | None = None, within: float = 120) -> str:
        """Its output, from the cluster of the caller. Raises `RuntimeError` with its complaint."""
        return kubectl(*words, stdin=stdin, within=within)

    def get(self, kind: str, namespace: str, *words: str) -> list[dict[str, Any]]:
        """The objects of a kind in one of the stack's namespaces."""
        found: list[dict[str, Any]] = json.loads(self.kubectl("-n", namespace, "get", kind, "-o", "json", *words))[
            "items"
        ]
        return found

    def secret(self, namespace: str, name: str) -> dict[str, str]:
        """The content of a Secret."""
        data = json.loads(self.kubectl("-n", namespace, "get", "secret", name, "-o", "json"))["data"]
        return {key: base64.b64decode(value).decode() for key, value in data.items()}

    def monitoring_login(self) -> tuple[str, str]:
        """Of Prometheus and Alertmanager."""
        return USER, self.secret(self.namespaces["observability"], "prometheus-login")["password"]

    @contextmanager
    def forwarded(self, namespace: str, target: str, port: int) -> Iterator[int]:
        """A port of loopback that leads to a Service or pod, as long as it is used."""
        local = free_port()
        process = subprocess.Popen(
            [KUBECTL, "-n", namespace, "port-forward", "--address=127.0.0.1", target, f"{local}:{port}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            eventually(lambda: socket.create_connection(("127.0.0.1", local), 5).close() or True, within=30)
            yield local
        finally:
            process.kill()
            process.wait()

    def _workspace(self) -> Workspace:
        project, state = self.folder / "project", self.folder / "state"
        for path in (project, state):
            path.mkdir(parents=True)
        bare_project(ROOT, project)
        environment = {
            **workspace("dev").environment,
            "PULUMI_BACKEND_URL": f"file://{state}",
            # Else every step writes the whole state, for minutes in sum; a run that was killed begins anew in any case.
            "PULUMI_SKIP_CHECKPOINTS": "true",
            "PULUMI_CONFIG_PASSPHRASE": randomness.token_urlsafe(32),
            "PULUMI_HOME": str(self.folder / "pulumi"),
        }
        return Workspace(stack=STACK, root=ROOT, project=project, environment=environment)

    def _backup(self) -> dict[str, Any]:
        return {
            "storage": "s3-compatible",
            "endpoint": f"https://{STORAGE_NAME}:8443",
            "endpoint_authority": self.authority["certificate"],
            "identity_provider": None,
            "region": "us-east-1",
            "bucket": BUCKET,
            "scratch": {"size": "4Gi"},
            **self.keys,
        }

    def _start_storage(self) -> None:
        pair = secrets._issue(self.authority, [STORAGE_NAME, "localhost"], secrets.SERVER)
        self.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(_storage(pair)))
        self.kubectl(
            "-n", STORAGE_NAMESPACE, "rollout", "status", "deployment/storage", f"--timeout={READY}s", within=READY + 10
        )
        with self.forwarded(STORAGE_NAMESPACE, "service/storage", 8443) as port:
            client = self.bucket(port)
            eventually(lambda: client.create_bucket(Bucket=BUCKET), within=60)
            client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})

    def bucket(self, port: int) -> Any:
        """A client of the storage behind a forwarded port."""
        import boto3

        authority = self.folder / "storage.crt"
        authority.write_text(self.authority["certificate"])
        return boto3.client(
            "s3", endpoint_url=f"https://localhost:{port}", region_name="us-east-1", verify=str(authority),
            aws_access_key_id=self.keys["access_key"], aws_secret_access_key=self.keys["secret_key"],
        )  # fmt: skip


def _storage(pair: dict[str, str]) -> dict[str, Any]:
    labels = {"app": "storage"}
    metadata = {"name": "storage", "namespace": STORAGE_NAMESPACE}
    container = {
        "name": "storage",
        "image": STORAGE,
        "ports": [{"containerPort": 8443}],
        # Else the first part of another name than localhost is taken for a bucket's.
        "env": [{"name": "MOTO_S3_CUSTOM_ENDPOINTS", "value": f"https://{STORAGE_NAME}:8443"}],
        "volumeMounts": [{"name": "tls", "mountPath": "/tls"}],
        "readinessProbe": {"tcpSocket": {"port": 8443}},
    }
    pod = {"containers": [container], "volumes": [{"name": "tls", "secret": {"secretName": "storage"}}]}
    items = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": STORAGE_NAMESPACE}},
        {
            "apiVersion": "v1", "kind": "Secret", "metadata": metadata,
            "stringData": {"tls.crt": pair["certificate"], "tls.key": pair["key"]},
        },
        {
            "apiVersion": "v1", "kind": "Service", "metadata": metadata,
            "spec": {"selector": labels, "ports": [{"port": 8443}]},
        },
        {
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata,
            "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}},
        },
    ]  # fmt: skip
    return {"apiVersion": "v1", "kind": "List", "items": items}

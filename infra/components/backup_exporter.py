"""The exporter of the backups: what the bucket says of their age, size and last drill, as metrics."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi

from infra.components.backup_tool import CONFIG, PREFIX, SECRETS, secret_files, storage_settings
from infra.kube import pgbackrest
from infra.kube.bucket import Bucket
from infra.kube.exporter import TLS, Exporter, Serving
from infra.kube.identity import Metrics, Spaces, Workload
from infra.kube.pods import FromConfigMap, FromSecret, Mount
from infra.settings import Objectives

WORKLOAD = Workload(component="backup-exporter", name="backup-exporter", space="observability")
PORT = 9854
METRICS = Metrics(job="backup", workload=WORKLOAD, port=PORT, server=WORKLOAD.name)


@dataclass(frozen=True, kw_only=True)
class BackupExporterArgs:
    """Which bucket it looks into, and what it compares ages with."""

    spaces: Spaces
    serving: Serving
    bucket: Bucket
    objectives: Objectives


class BackupExporter(Exporter):
    """One pod that reads the records of backups whenever Prometheus asks it."""

    def __init__(self, name: str, args: BackupExporterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, args.spaces, opts)
        bucket = args.bucket
        settings = storage_settings(bucket, CONFIG) | {
            "PORT": str(PORT),
            "CERTIFICATE_FILE": f"{TLS}/tls.crt",
            "KEY_FILE": f"{TLS}/tls.key",
            "RPO": str(args.objectives.rpo),
            "RTO": str(args.objectives.rto),
        }
        environment = {f"{PREFIX}{name}": value for name, value in settings.items()}
        mounts: list[Mount] = [*bucket.tokens]
        files: dict[str, str] = {}
        if bucket.authority:
            files[pgbackrest.AUTHORITY] = bucket.authority
            config = self.config_map("config", files)
            mounts.append(FromConfigMap(path=CONFIG, config_map=config.metadata.name, volume="config"))
        if bucket.keys:
            secret = self.secret("keys", secret_files(bucket, {}))
            mounts.append(FromSecret(path=SECRETS, secret=secret.metadata.name, volume="keys"))
            environment["MCOPS_SECRETS_DIR"] = SECRETS
        self.serve(
            METRICS,
            args.serving,
            command="mcops",
            args=["backup", "exporter"],
            environment=environment | bucket.environment("observer"),
            mounts=mounts,
            config=files,
            role=bucket.roles.get("observer"),
            health="/health",
        )
        self.policy(f"{WORKLOAD.name}-to-storage", bucket.egress(WORKLOAD))
        self.finish()

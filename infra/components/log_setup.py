"""The Job that tells Elasticsearch and Kibana what we log: templates, policies, roles, users and saved objects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi

from infra.components import elasticsearch
from infra.kube.component import Component
from infra.kube.identity import Spaces, Workload
from infra.kube.pods import Container, FromConfigMap, FromSecret, Pod, Rollout, Scratch
from infra.settings import LogRetention, Resources, Snapshots

WORKLOAD = Workload(component="log-setup", name="log-setup", space="observability")
AUTHORITY, SECRET = "/etc/modelcard/authority", "/run/secrets/log-setup"
ATTEMPTS = 6  # each waits for minutes; the deadline of the Job ends them all


@dataclass(frozen=True, kw_only=True)
class LogSetupArgs:
    """`passwords` are those of Elasticsearch's users, by name; among them is the one that the Job itself comes with.

    `bucket` is where snapshots go, if `snapshots` says how.
    """

    spaces: Spaces
    image: str
    resources: Resources
    stack: str
    elasticsearch: str
    kibana: str
    authority: pulumi.Output[str]
    passwords: Mapping[str, pulumi.Output[str]]
    retention: LogRetention
    snapshots: Snapshots | None
    bucket: str
    rollout: Rollout


class LogSetup(Component):
    """A Job that can run again at any time; a changed setting or rotated secrets make it."""

    space = "observability"

    def __init__(self, name: str, args: LogSetupArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, args.spaces, opts)
        authority = self.config_map("authority", {"ca.crt": args.authority})
        secret = self.secret("passwords", args.passwords)
        retention = args.retention
        self.job(
            WORKLOAD,
            Pod(
                main=Container(
                    name="setup",
                    image=args.image,
                    command=["mcops", "logs", "apply"],
                    args=[
                        f"--elasticsearch={args.elasticsearch}",
                        f"--kibana={args.kibana}",
                        f"--authority={AUTHORITY}/ca.crt",
                        f"--passwords={SECRET}",
                        f"--login={elasticsearch.SETUP}",
                        f"--stack={args.stack}",
                        f"--retention-app={retention.app}",
                        f"--retention-audit={retention.audit}",
                        f"--retention-security={retention.security}",
                        *([f"--snapshots={args.bucket}"] if args.snapshots else []),
                    ],
                    resources=args.resources,
                    mounts=[
                        FromConfigMap(path=AUTHORITY, config_map=authority.metadata.name, volume="authority"),
                        FromSecret(path=SECRET, secret=secret.metadata.name, volume="passwords"),
                        Scratch(path="/tmp", volume="tmp", size="16Mi"),
                    ],
                ),
                once=True,
            ),
            config={},
            rollout=args.rollout,
            attempts=ATTEMPTS,
        )
        self.finish()

"""What Alertmanager sends. Source: prometheus.io, "Alerting: Configuration", `webhook_config`, version 4."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from modelcard_ops.incidents.severity import Severity, highest, of_alert

Text = Annotated[str, StringConstraints(max_length=8192)]
Labels = dict[Annotated[str, StringConstraints(max_length=256)], Text]


class MalformedError(Exception):
    """What is wrong with a message."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)


class Alert(_Part):
    """One alert of a group."""

    status: Literal["firing", "resolved"]
    labels: Labels
    annotations: Labels
    starts_at: Annotated[AwareDatetime, Field(alias="startsAt")]
    ends_at: Annotated[AwareDatetime, Field(alias="endsAt")]
    url: Annotated[Text, Field(alias="generatorURL")] = ""
    fingerprint: Annotated[str, StringConstraints(min_length=1, max_length=64)]

    @property
    def firing(self) -> bool:
        """Whether it still is."""
        return self.status == "firing"

    @property
    def since(self) -> float:
        """When it began, in seconds since the epoch."""
        return _seconds(self.starts_at)

    @property
    def until(self) -> float:
        """When it ended; of no meaning while it fires."""
        return _seconds(self.ends_at)


class Message(_Part):
    """A group of alerts, as it is now."""

    version: Literal["4"]
    key: Annotated[str, StringConstraints(min_length=1, max_length=4096), Field(alias="groupKey")]
    status: Literal["firing", "resolved"]
    group: Annotated[Labels, Field(alias="groupLabels")]
    common: Annotated[Labels, Field(alias="commonAnnotations")] = {}
    alerts: Annotated[list[Alert], Field(min_length=1)]
    truncated: Annotated[int, Field(alias="truncatedAlerts", ge=0)] = 0

    @property
    def firing(self) -> list[Alert]:
        """Those that still are."""
        return [each for each in self.alerts if each.firing]

    @property
    def name(self) -> str:
        """What the alerts are called."""
        return self.group.get("alertname") or self.alerts[0].labels.get("alertname") or "an alert without a name"

    @property
    def severity(self) -> Severity:
        """That of the worst of them."""
        return highest(of_alert(each.labels) for each in self.firing or self.alerts)

    @property
    def title(self) -> str:
        """One line for people."""
        summary = self.common.get("summary") or self.alerts[0].annotations.get("summary", "")
        return f"{self.name}: {summary}" if summary else self.name

    @property
    def description(self) -> str:
        """What exactly is wrong, of the first of them."""
        return self.common.get("description") or self.alerts[0].annotations.get("description", "")


def read(body: bytes) -> Message:
    """The message in a body. Raises `MalformedError` with every reason, and without what was sent."""
    try:
        return Message.model_validate_json(body)
    except ValidationError as error:
        reasons = [f"{'.'.join(map(str, each['loc'])) or 'body'}: {each['msg']}" for each in error.errors()[:5]]
        raise MalformedError("; ".join(reasons)) from None


def links(annotations: Mapping[str, str], url: str) -> dict[str, str]:
    """Where to look further: runbook, dashboard, and the graph of the alert's expression."""
    found = {"runbook": annotations.get("runbook_url", ""), "dashboard": annotations.get("dashboard", ""), "graph": url}
    return {name: value for name, value in found.items() if value}


def _seconds(moment: datetime) -> float:
    try:
        return moment.timestamp()
    except (OverflowError, ValueError):  # year 1 stands for never
        return 0.0

"""Who a workload is: its names and labels, known before anything is declared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Tier = Literal["app", "edge", "database", "cache"]


@dataclass(frozen=True, kw_only=True)
class Workload:
    """The identity that Services, policies and budgets select by. `name` is that of the controller object."""

    component: Tier
    name: str

    @property
    def selector(self) -> dict[str, str]:
        """Never changes: a Deployment's selector is immutable."""
        return {"app.kubernetes.io/name": self.name, "app.kubernetes.io/part-of": "modelcard"}

    @property
    def labels(self) -> dict[str, str]:
        """Recommended labels (kubernetes.io, "Recommended Labels")."""
        return self.selector | {
            "app.kubernetes.io/component": self.component,
            "app.kubernetes.io/managed-by": "pulumi",
        }

"""Whom an assessment asks: the Kubernetes API, Prometheus, Alertmanager and the service. No kubectl, no shell."""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from modelcard_ops.incidents.assessment import NoAnswerError

TIMEOUT = 10.0  # seconds until an answer is none


@dataclass(frozen=True, kw_only=True)
class Monitoring:
    """Prometheus or Alertmanager, by the monitoring's login."""

    url: str
    user: str = ""
    password: str = ""
    authority: Path | None = None
    client: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        verify: ssl.SSLContext | bool = True
        if self.authority is not None:
            verify = ssl.create_default_context(cafile=str(self.authority))
        auth = (self.user, self.password) if self.user else None
        object.__setattr__(self, "client", httpx.Client(base_url=self.url, verify=verify, auth=auth, timeout=TIMEOUT))

    def query(self, expression: str, *, at: float | None = None) -> list[dict[str, Any]]:
        """The series of an instant query. Raises `NoAnswerError`."""
        parameters = {"query": expression, **({"time": f"{at:.3f}"} if at is not None else {})}
        answer = self.get("/api/v1/query", parameters)
        if answer.get("status") != "success":
            raise NoAnswerError(f"Prometheus refuses `{expression}`: {answer.get('error')}")
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result

    def number(self, expression: str, *, at: float | None = None) -> float | None:
        """The one value of a query; None if there is no series."""
        found = self.query(expression, at=at)
        return float(found[0]["value"][1]) if found else None

    def firing(self, fingerprints: Sequence[str]) -> bool | None:
        """Whether Alertmanager has any of these alerts as firing; None if it does not say."""
        try:
            alerts = self.get("/api/v2/alerts", {"silenced": "true", "inhibited": "true", "active": "true"})
        except NoAnswerError:
            return None
        return bool({each.get("fingerprint") for each in alerts} & set(fingerprints))

    def get(self, path: str, parameters: Mapping[str, str]) -> Any:
        """The JSON of an answer. Raises `NoAnswerError`."""
        try:
            response = self.client.get(path, params=dict(parameters))
            if response.status_code >= 500 or response.status_code in {401, 403}:
                raise NoAnswerError(f"{self.url}: HTTP {response.status_code}")
            return response.json()
        except (httpx.HTTPError, ValueError) as error:
            raise NoAnswerError(f"{self.url}: {type(error).__name__}: {error}") from None


class Cluster:
    """The Kubernetes API, as the pod's account or as the kubeconfig says."""

    def __init__(self, client: Any = None) -> None:
        self._client = client

    def get(self, path: str, **parameters: str | int) -> Any:
        """The JSON of an object or list. Raises `NoAnswerError`."""
        try:
            return json.loads(self.text(path, **parameters))
        except ValueError:
            raise NoAnswerError(f"the Kubernetes API answers {path} with what is no JSON") from None

    def items(self, path: str, **parameters: str | int) -> list[dict[str, Any]]:
        """The objects of a list, page by page."""
        found: list[dict[str, Any]] = []
        following = ""
        while True:
            page = self.get(path, limit=500, **parameters, **({"continue": following} if following else {}))
            found += page.get("items", [])
            following = page.get("metadata", {}).get("continue", "")
            if not following:
                return found

    def text(self, path: str, **parameters: str | int) -> str:
        """What the API says to a GET. Raises `NoAnswerError`."""
        from urllib3.exceptions import HTTPError

        client = self._connected()
        method, url, headers, _, _ = client.param_serialize(
            "GET", quote(path, safe="/:"), query_params=list(parameters.items()), auth_settings=["BearerToken"]
        )
        try:
            response = client.call_api(method, url, header_params=headers, _request_timeout=TIMEOUT)
            text = str(response.read().decode("utf-8", "replace"))
        except (HTTPError, OSError) as error:
            raise NoAnswerError(f"the Kubernetes API does not answer: {type(error).__name__}") from None
        if response.status >= 400:
            raise NoAnswerError(f"the Kubernetes API answers {path} with HTTP {response.status}")
        return text

    def _connected(self) -> Any:
        if self._client is None:
            from kubernetes import client, config

            configuration = client.Configuration()
            try:
                config.load_incluster_config(configuration)
            except config.ConfigException:
                try:
                    config.load_kube_config(client_configuration=configuration)
                except (config.ConfigException, OSError):
                    raise NoAnswerError("there is no cluster: set KUBECONFIG, or run it in a pod") from None
            configuration.retries = 0
            self._client = client.ApiClient(configuration)
        return self._client

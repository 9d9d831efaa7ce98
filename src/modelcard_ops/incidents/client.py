"""The responder, as the command line reaches it: by HTTPS, with a token, and one clear line for everything that fails.

It is found by `MCOPS_RESPONDER_URL`, `MCOPS_TOKEN_FILE` and `MCOPS_AUTHORITY_FILE`, the stack's authority as PEM.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from modelcard_ops.errors import UserError

TIMEOUT = 30.0  # seconds; an assessment takes 15
FORWARD = "kubectl -n modelcard-observability port-forward svc/incident-responder 8443"


class Where(BaseSettings):
    """Where the responder is, and how to log in."""

    model_config = SettingsConfigDict(env_prefix="MCOPS_", frozen=True)

    responder_url: str = Field(default="https://localhost:8443", pattern="^https://")
    token_file: Path | None = None
    authority_file: Path | None = None


class ResponderClient:
    """Asks and tells. Raises `UserError`."""

    def __init__(self, where: Where | None = None) -> None:
        try:
            self._where = where or Where()
        except ValidationError as error:
            lines = (f"MCOPS_{'.'.join(map(str, each['loc'])).upper()}: {each['msg']}" for each in error.errors())
            raise UserError("\n".join(lines)) from None
        self._client = httpx.Client(
            base_url=self._where.responder_url,
            headers={"Authorization": f"Bearer {self._token()}"},
            verify=self._trust(),
            timeout=TIMEOUT,
        )

    def get(self, path: str, **parameters: str) -> httpx.Response:
        """What it answers."""
        return self._ask("GET", path, params=parameters)

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """What comes of it."""
        return self._ask("POST", path, json=dict(body or {})).json()

    def _ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        url = self._where.responder_url
        try:
            response = self._client.request(method, path, **more)
        except httpx.ConnectError as error:
            raise UserError(
                f"the responder does not answer at {url} ({error}): set MCOPS_RESPONDER_URL, or `{FORWARD}`"
            ) from None
        except httpx.HTTPError as error:
            raise UserError(
                f"{url}{path}: {type(error).__name__}: look at `mcops incident list` before you say it again"
            ) from None
        if response.status_code == 401:
            raise UserError("the token is not the responder's: look at the file that MCOPS_TOKEN_FILE names")
        if response.is_error:
            raise UserError(_complaint(response))
        return response

    def _token(self) -> str:
        file = self._where.token_file
        if file is None:
            raise UserError("MCOPS_TOKEN_FILE is not set: it names the file that holds the responder's token")
        try:
            return file.read_text().strip()
        except OSError as error:
            raise UserError(f"{file}: {error.strerror}: MCOPS_TOKEN_FILE names the file of the token") from None

    def _trust(self) -> ssl.SSLContext | bool:
        file = self._where.authority_file
        if file is None:
            return True
        try:
            return ssl.create_default_context(cafile=str(file))
        except OSError as error:
            raise UserError(f"{file}: {error.strerror or error}: MCOPS_AUTHORITY_FILE is the authority's PEM") from None


def _complaint(response: httpx.Response) -> str:
    try:
        return str(response.json()["error"])
    except (ValueError, KeyError, TypeError):
        return f"the responder answers HTTP {response.status_code}"

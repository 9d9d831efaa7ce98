"""What the responder is told by its environment: variables with the prefix `MCOPS_RESPONDER_`, secrets as files.

A secret is the file `mcops_responder_NAME` in the folder `MCOPS_RESPONDER_SECRETS_DIR`; a variable of the name wins.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from modelcard_ops.errors import UserError
from modelcard_ops.incidents.looks import Sources
from modelcard_ops.incidents.sources import Cluster, Monitoring

PREFIX = "MCOPS_RESPONDER_"
Token = Annotated[SecretStr, Field(min_length=16)]


def separated(value: object) -> object:
    """A list that is written with commas."""
    return tuple(filter(None, map(str.strip, value.split(",")))) if isinstance(value, str) else value


class Surroundings(BaseSettings):
    """Whom an assessment asks. What is not set is not asked, and unknown."""

    model_config = SettingsConfigDict(env_prefix="MCOPS_ASSESS_", frozen=True, hide_input_in_errors=True)

    namespaces: Annotated[tuple[str, ...], NoDecode] = (  # the application's first; separated by commas
        "modelcard",
        "modelcard-observability",
        "modelcard-agents",
    )
    workload: str = "modelcard-generator"
    service_url: str = ""
    database_host: str = ""
    database_port: int = 5432
    prometheus_url: str = ""
    alertmanager_url: str = ""
    authority_file: Path | None = None  # PEM; who signs the certificates of Prometheus and Alertmanager
    monitoring_user: str = "platform"
    monitoring_password: SecretStr | None = None

    @field_validator("namespaces", mode="before")
    @classmethod
    def _separated_namespaces(cls, value: object) -> object:
        return separated(value)

    def monitoring(self, url: str) -> Monitoring | None:
        """Prometheus or Alertmanager at this address, if there is one."""
        if not url:
            return None
        password = self.monitoring_password.get_secret_value() if self.monitoring_password else ""
        user = self.monitoring_user if password else ""
        return Monitoring(url=url, user=user, password=password, authority=self.authority_file)

    def sources(self) -> Sources:
        """Them."""
        return Sources(
            cluster=Cluster(),
            namespaces=self.namespaces,
            workload=self.workload,
            service_url=self.service_url,
            prometheus=self.monitoring(self.prometheus_url),
            database=(self.database_host, self.database_port) if self.database_host else None,
        )


class Settings(Surroundings):
    """Of the process; all times in seconds."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, hide_input_in_errors=True)

    data_dir: Path = Path("/var/lib/responder")
    log_dir: Path = Path("/var/log/modelcard")
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 8443
    certificate_file: Path
    key_file: Path
    webhook_token: Token  # Alertmanager's
    token: Token  # of people and their tools
    tick: Annotated[float, Field(gt=0, le=60)] = 5.0

    slack_token: SecretStr | None = None
    slack_url: str = "https://slack.com/api"
    mail_host: str = ""
    mail_port: int = 587
    mail_sender: str = ""
    mail_recipients: Annotated[tuple[str, ...], NoDecode] = ()  # separated by commas
    mail_username: str = ""
    mail_password: SecretStr | None = None
    status_page_id: str = ""
    status_page_token: SecretStr | None = None
    status_page_url: str = "https://api.statuspage.io/v1"
    heartbeat_url: SecretStr | None = None

    @field_validator("mail_recipients", mode="before")
    @classmethod
    def _separated_recipients(cls, value: object) -> object:
        return separated(value)


def from_environment() -> Settings:
    """The settings of this process. Raises `UserError` with every problem, each naming its variable."""
    return _read(Settings)


def assessed_from_here() -> Sources:
    """Whom an assessment by hand asks. Raises `UserError` as above."""
    try:
        return _read(Surroundings).sources()
    except OSError as error:
        raise UserError(f"MCOPS_ASSESS_AUTHORITY_FILE: {error.strerror or error}") from None


T = TypeVar("T", bound=BaseSettings)


def _read(kind: type[T]) -> T:
    prefix = str(kind.model_config["env_prefix"])
    try:
        # An argument of pydantic-settings' own, which its types do not know.
        return kind(_secrets_dir=os.environ.get(f"{prefix}SECRETS_DIR"))
    except ValidationError as error:
        lines = (f"{prefix}{'.'.join(map(str, each['loc'])).upper()}: {each['msg']}" for each in error.errors())
        raise UserError("\n".join(lines)) from None

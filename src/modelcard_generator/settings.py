"""What the service is told by its environment: variables with the prefix `MCG_`, secrets as files.

A secret is the file `mcg_NAME` in the folder `MCG_SECRETS_DIR`; a variable of the same name wins.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "MCG_"
Seconds = Annotated[float, Field(gt=0)]
Bytes = Annotated[int, Field(gt=0)]


class SettingsError(Exception):
    """All that is wrong with the environment, one line each."""


class Settings(BaseSettings):
    """Of one process; all times in seconds, all sizes in bytes."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, hide_input_in_errors=True)

    database_url: SecretStr  # libpq form
    cache_url: SecretStr  # redis:// or rediss://
    authority_file: Path | None = None  # PEM; who signs the certificates of PostgreSQL and Redis
    log_dir: Path = Path("/var/log/modelcard")
    uploads_dir: Path = Path("/var/lib/modelcard/uploads")
    workers: Annotated[int, Field(ge=1, le=64)] = 2
    database_pool_size: Annotated[int, Field(ge=1)] = 4  # of one worker
    slow_query: Seconds = 1.0
    body_limit: Bytes = 1024 * 1024
    upload_limit: Bytes = 100 * 1024 * 1024
    request_timeout: Seconds = 30
    # On SIGTERM, for how long requests on open connections are still answered, with `Connection: close`.
    drain: Annotated[float, Field(ge=0)] = 1.0
    external_apis: tuple[str, ...] = (
        "https://huggingface.co/api/health",
        "https://api.wandb.ai/health",
        "https://api.github.com",
    )


def from_environment() -> Settings:
    """The settings of this process. Raises `SettingsError` with every problem, each naming its variable."""
    try:
        # An argument of pydantic-settings' own, which its types do not know.
        return Settings(_secrets_dir=os.environ.get(f"{PREFIX}SECRETS_DIR"))  # type: ignore[call-arg]
    except ValidationError as error:
        lines = (f"{PREFIX}{'.'.join(map(str, each['loc'])).upper()}: {each['msg']}" for each in error.errors())
        raise SettingsError("\n".join(lines)) from None

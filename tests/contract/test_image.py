"""The image of the application, its Deployment and the service itself agree with one another."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from infra.kube.pods import USER
from modelcard_generator import __version__
from modelcard_generator.settings import PREFIX, Settings
from tests.conftest import container_of, platform_of, settings_of

DOCKERFILE = (Path(__file__).parents[2] / "images" / "app" / "Dockerfile").read_text()


def deployment() -> Any:
    return platform_of("prod").one("apps/v1:Deployment", "modelcard-generator")


def instruction(name: str) -> str:
    """The last one of this name."""
    return re.findall(rf"^{name} (.+)$", DOCKERFILE, re.MULTILINE)[-1]


def test_the_image_runs_what_the_deployment_states():
    container = container_of(deployment())
    assert json.loads(instruction("CMD")) == container["command"] + container["args"]


def test_the_image_runs_as_the_user_of_all_pods():
    assert instruction("USER") == f"{USER}:{USER}"


def test_the_image_opens_the_port_of_the_deployment():
    assert [int(instruction("EXPOSE"))] == [port["containerPort"] for port in container_of(deployment())["ports"]]


def test_the_version_that_is_deployed_is_the_one_that_is_here():
    assert settings_of("prod").app.image.endswith(f":{__version__}")


def test_the_service_knows_every_variable_that_it_is_given():
    given = {variable["name"] for variable in container_of(deployment())["env"]} - {f"{PREFIX}SECRETS_DIR"}
    assert {name.removeprefix(PREFIX).lower() for name in given} <= set(Settings.model_fields)


def test_the_service_finds_every_secret_that_it_cannot_do_without():
    files = platform_of("prod").one("core/v1:Secret", "app-secrets")["stringData"]
    needed = {f"{PREFIX}{name}".lower() for name, field in Settings.model_fields.items() if field.is_required()}
    assert set(files) == needed


def test_everything_that_the_image_installs_is_pinned_with_its_hash():
    assert "--require-hashes" in DOCKERFILE
    assert "--only-binary :all:" in DOCKERFILE


@pytest.mark.parametrize(("name", "own"), [("modelcard-generator", True), ("edge-nginx", False)])
def test_a_request_may_take_as_long_as_the_pod_is_given_to_end(name, own):
    defaults = {name: field.default for name, field in Settings.model_fields.items()}
    workload = platform_of("prod").one("apps/v1:Deployment", name)
    drain = container_of(workload)["lifecycle"]["preStop"]["sleep"]["seconds"] + (defaults["drain"] if own else 0)
    grace = workload["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert drain + defaults["request_timeout"] + 5 <= grace

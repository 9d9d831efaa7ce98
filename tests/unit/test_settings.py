"""Configuration is read at one edge, and everything that is wrong with it is told at once."""

import json
from typing import Any

import pulumi
import pytest
from pulumi.runtime import config as pulumi_config

from infra.environments import recording
from infra.environments.recording import Recording, record
from infra.program import program
from infra.quantities import BucketName, Image
from infra.settings import PROJECT
from infra.settings_reading import SettingsError, parse, placeholder_secrets
from tests.conftest import settings_of

FILE = "Pulumi.prod.yaml"


def problems(**values: Any) -> list[str]:
    """What `parse` says about a stack file of these values, without the name of the file."""
    with pytest.raises(SettingsError) as error:
        parse({"environment": "prod", "secrets": placeholder_secrets(), **values}, file=FILE)
    assert all(problem.startswith(f"{FILE}: ") for problem in error.value.problems)
    return [problem.removeprefix(f"{FILE}: ") for problem in error.value.problems]


def test_the_defaults_alone_are_valid() -> None:
    assert [settings_of(stack).environment for stack in ("local", "dev", "prod")] == ["local", "dev", "prod"]


def test_a_stack_overrides_single_values_of_a_section() -> None:
    replicas = settings_of("prod", app={"replicas": {"max": 30}}).app.replicas
    assert (replicas.min, replicas.max) == (3, 30)


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"ap": {}}, "ap is not a setting: correct the name or remove it"),
        ({"app": {"replicas": {"mn": 3}}}, "app.replicas.mn is not a setting: correct the name or remove it"),
        ({"app": {"replicas": {"min": 0}}}, "app.replicas.min should be greater than or equal to 1"),
        ({"app": {"replicas": {"min": "three"}}}, "app.replicas.min should be a valid integer"),
        ({"app": {"replicas": {"min": 2.0}}}, "app.replicas.min should be a valid integer"),
        ({"app": {"replicas": {"min": True}}}, "app.replicas.min should be a valid integer"),
        ({"app": {"replicas": None}}, "app.replicas is empty: set it or remove it"),
        ({"app": {"replicas": 3}}, "app.replicas is a section: write its settings below it"),
        ({"app": None}, "app is empty: set it or remove it"),
        ({"app": "[broken"}, "app is a section: write its settings below it"),
        ({"app": {"image": None}}, "app.image is empty: set it or remove it"),
        ({"app": {"autoscaling": {"cpu": 101}}}, "app.autoscaling.cpu should be less than or equal to 100"),
        (
            {"app": {"uploads": {"access_mode": "RWX"}}},
            "app.uploads.access_mode should be 'ReadWriteMany' or 'ReadWriteOnce'",
        ),
        ({"app": {"resources": {"cpu_request": 500}}}, "app.resources.cpu_request should be a valid string"),
        ({"edge": {"replicas": 0}}, "edge.replicas should be greater than or equal to 1"),
        ({"database": {"max_connections": -1}}, "database.max_connections should be greater than or equal to 1"),
        (
            {"database": {"max_connections": 61}},
            "database.max_connections is 61 but app.replicas.max of 20 with app.workers of 2 needs 62",
        ),
        ({"protect_data": "yes"}, "protect_data should be a valid boolean"),
        ({"environment": "production"}, f"{PROJECT}:environment is 'production': set it to one of local, dev, prod"),
        ({"environment": None}, f"{PROJECT}:environment is missing: set it to one of local, dev, prod"),
        ({"environment": ["prod"]}, f"{PROJECT}:environment is ['prod']: set it to one of local, dev, prod"),
        ({"secrets": None}, "secrets are missing: run `mcenv secrets init prod`"),
        (
            {"cache": {"resources": {"memory_limit": "512MB"}}},
            "cache.resources.memory_limit: '512MB' is not a size in binary units, such as 512Mi or 4Gi",
        ),
        (
            {"app": {"image": "docker.io/terragonlabs/modelcard-generator:latest"}},
            f"app.image: 'docker.io/terragonlabs/modelcard-generator:latest' is not {Image.example}",
        ),
        ({"backup": {"bucket": "My_Bucket"}}, f"backup.bucket: 'My_Bucket' is not {BucketName.example}"),
        ({"app": {"replicas": {"min": 5, "max": 3}}}, "app.replicas.min is 5 but app.replicas.max is 3"),
        ({"app": {"replicas": {"min": 21}}}, "app.replicas.min is 21 but app.replicas.max is 20"),
        (
            {"app": {"resources": {"memory_request": "2Gi"}}},
            "app.resources.memory_request is 2Gi but app.resources.memory_limit is 1Gi",
        ),
        (
            {"edge": {"resources": {"cpu_request": "2", "cpu_limit": "1500m"}}},
            "edge.resources.cpu_request is 2 but edge.resources.cpu_limit is 1500m",
        ),
        (
            {"preview_environment": True, "recovery": "newest"},
            "recovery is set, but a preview environment is in no backup: remove it",
        ),
        (
            {"app": {"uploads": {"access_mode": "ReadWriteOnce"}}},
            "app.uploads.access_mode is ReadWriteOnce, but pods on several nodes need ReadWriteMany",
        ),
    ],
)
def test_a_mistake_is_told_with_its_file_and_key_path(values: dict[str, Any], problem: str) -> None:
    assert problems(**values) == [problem]


def test_all_mistakes_are_told_at_once_even_within_one_section() -> None:
    resources = {"memory_request": "8Gi", "cpu_limit": "lots", "memory": "1Gi"}
    found = problems(
        app={"replicas": {"min": 5, "max": 3, "mn": 2}, "resources": resources},
        backup={"bucket": "B"},
        protect_data="yes",
        secrets=None,
        edje={},
    )
    assert {problem.split(" ")[0].rstrip(":") for problem in found} == {
        "app.replicas.min",
        "app.replicas.mn",
        "app.resources.cpu_limit",
        "app.resources.memory",
        "app.resources.memory_request",
        "backup.bucket",
        "protect_data",
        "secrets",
        "edje",
    }


def test_an_unknown_environment_hides_no_other_mistake() -> None:
    assert problems(environment="production", ap={})[0].startswith("ap is not a setting")


@pytest.mark.parametrize("value", ["", None, 5, ["hunter2"]])
def test_a_damaged_secret_is_told_by_name_and_never_shown(value: object) -> None:
    secrets = {**placeholder_secrets(), "database_password": value, "cache_certificate": {"certificate": "hunter2"}}
    assert problems(secrets=secrets) == [
        "secrets.database_password is missing or damaged: run `mcenv secrets rotate prod`",
        "secrets.cache_certificate.key is missing or damaged: run `mcenv secrets rotate prod`",
    ]


@pytest.mark.parametrize("name", placeholder_secrets())
def test_every_secret_is_needed(name: str) -> None:
    rest = {key: value for key, value in placeholder_secrets().items() if key != name}
    assert problems(secrets=rest) == [f"secrets.{name} is missing or damaged: run `mcenv secrets rotate prod`"]


def test_settings_do_not_print_their_secrets() -> None:
    secrets = {**placeholder_secrets(), "database_password": "hunter2"}
    assert "hunter2" not in repr(settings_of("prod", secrets=secrets))


@pytest.mark.parametrize("rotation", [3, "3"])
def test_what_the_command_line_writes_as_text_is_read_as_what_it_is(rotation: object) -> None:
    settings = settings_of("prod", rotation=rotation, protect_data="false", app='{"replicas": {"max": 30}}')
    assert (settings.rotation, settings.protect_data, settings.app.replicas.max) == (3, False, 30)


@pytest.mark.parametrize("namespace", ["2026", "true"])
def test_a_name_that_looks_like_something_else_is_still_a_name(namespace: str) -> None:
    assert settings_of("prod", namespace=namespace).namespace == namespace


def run_program(monkeypatch: pytest.MonkeyPatch, **values: Any) -> tuple[Recording, str | None]:
    """What the program registers with this configuration, and what it fails with."""
    engine = Recording()
    monkeypatch.setattr(recording, "Recording", lambda: engine)
    config = {f"{PROJECT}:{key}": each if isinstance(each, str) else json.dumps(each) for key, each in values.items()}

    def configured() -> None:
        pulumi_config.set_all_config(config)
        program()

    failure = None
    try:
        record(configured, stack="prod")
    except pulumi.RunError as error:
        failure = str(error)
    return engine, failure


def test_the_program_deploys_what_the_engine_configures(monkeypatch: pytest.MonkeyPatch) -> None:
    replicas = {"replicas": {"max": 30}}
    engine, _ = run_program(monkeypatch, environment="prod", secrets=placeholder_secrets(), app=replicas)
    assert engine.one("v2:HorizontalPodAutoscaler", "modelcard-generator-hpa")["spec"]["maxReplicas"] == 30


def test_mistakes_end_the_program_before_the_first_resource(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, failure = run_program(monkeypatch, environment="prod", app={"replicas": {"min": 5, "max": 3}})
    assert [each.type for each in engine.registrations] == ["pulumi:pulumi:Stack"]
    assert failure == (
        f"{FILE}: app.replicas.min is 5 but app.replicas.max is 3\n"
        f"{FILE}: secrets are missing: run `mcenv secrets init prod`"
    )

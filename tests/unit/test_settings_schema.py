"""The committed JSON Schema, by which editors complete stack files."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from infra import settings_schema
from infra.settings import PROJECT
from infra.settings_schema import FILE, main, schema

ROOT = Path(__file__).parents[2]
VALIDATOR = Draft202012Validator(schema())


def paths(config: dict[str, Any], **rest: Any) -> set[str]:
    """Where the schema complains about a stack file."""
    return {error.json_path for error in VALIDATOR.iter_errors({"config": config, **rest})}


def key(name: str) -> str:
    return f"{PROJECT}:{name}"


def test_it_is_a_schema_of_its_draft() -> None:
    assert Draft202012Validator.check_schema(schema()) is None


def test_the_committed_file_is_what_the_settings_say() -> None:
    assert main(["--check"]) == 0


def test_a_stale_file_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stale = tmp_path / FILE.name
    monkeypatch.setattr(settings_schema, "FILE", stale)
    stale.write_text("{}")
    outcome = main(["--check"]), capsys.readouterr().err
    assert outcome == (1, "infra/settings.schema.json is stale: run `python -m infra.settings_schema`\n")


def test_it_writes_what_it_checks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings_schema, "FILE", tmp_path / FILE.name)
    assert (main([]), main(["--check"])) == (0, 0)


@pytest.mark.parametrize("file", sorted(ROOT.glob("Pulumi.*.yaml")), ids=lambda file: file.name)
def test_the_stack_files_of_this_repository_fit_and_name_it(file: Path) -> None:
    text = file.read_text()
    assert list(VALIDATOR.iter_errors(yaml.safe_load(text))) == []
    assert text.startswith("# yaml-language-server: $schema=infra/settings.schema.json\n")


def test_only_the_environment_is_required() -> None:
    assert (paths({key("environment"): "dev"}), paths({})) == (set(), {"$.config"})


def test_what_pulumi_itself_writes_is_allowed() -> None:
    config = {
        key("environment"): "prod", key("rotation"): "2", key("protect_data"): "true", "aws:region": "eu-central-1",
        key("secrets"): {"secure": "v1:abc"}, "kubernetes:context": {"secure": "v1:abc"},
    }  # fmt: skip
    assert paths(config, encryptionsalt="v1:abc", secretsprovider="passphrase", encryptedkey="abc") == set()


@pytest.mark.parametrize(
    ("config", "path"),
    [
        ({key("ap"): {}}, "$.config"),
        ({"environment": "dev"}, "$.config"),
        ({key("app"): {"replica": {}}}, f"$.config['{PROJECT}:app']"),
        ({key("app"): {"replicas": {"min": "3"}}}, f"$.config['{PROJECT}:app'].replicas.min"),
        ({key("database"): {"storage": {"size": "20GB"}}}, f"$.config['{PROJECT}:database'].storage.size"),
        ({key("environment"): "production"}, f"$.config['{PROJECT}:environment']"),
        ({key("app"): None}, f"$.config['{PROJECT}:app']"),
        ({key("secrets"): {"database_password": "plain"}}, f"$.config['{PROJECT}:secrets']"),
    ],
)
def test_a_mistake_is_marked_where_it_is(config: dict[str, Any], path: str) -> None:
    assert path in paths({key("environment"): "dev", **config})


def test_a_setting_shows_its_defaults_side_by_side() -> None:
    app = schema()["properties"]["config"]["properties"][key("app")]
    assert app["properties"]["replicas"]["properties"]["min"]["description"] == (
        "Default: 3 in local, 2 in dev, 3 in prod: dev serves a handful of people and pays for that."
    )

"""Stack files without an engine: what is wrong with one is said in one line each."""

from __future__ import annotations

import pytest

from infra.environments.preview import stackfile
from infra.errors import UserError
from infra.settings import MASK
from tests.conftest import STACKS

SECURE = "config:\n  modelcard-platform:environment: dev\n  modelcard-platform:secrets:\n    secure: v1:CANARY\n"


def lines(tmp_path, text):
    (tmp_path / "Pulumi.dev.yaml").write_text(text)
    with pytest.raises(UserError) as error:
        stackfile.read(tmp_path, "dev")
    return str(error.value).splitlines()


@pytest.mark.parametrize("stack", STACKS)
def test_the_stacks_of_the_checkout(stack):
    assert stackfile.read(stackfile.CHECKOUT, stack).environment == stack


def test_encrypted_values_are_placeholders(tmp_path):
    (tmp_path / "Pulumi.dev.yaml").write_text(SECURE)
    assert stackfile.read(tmp_path, "dev").secrets.cache_password.get_secret_value() == MASK


def test_what_the_engine_and_other_providers_keep_there_is_left_alone(tmp_path):
    others = "  aws:region: eu-central-1\n  kubernetes:context: x\nencryptionsalt: v1:x\nsecretsprovider: passphrase\n"
    (tmp_path / "Pulumi.dev.yaml").write_text(SECURE + others)
    assert stackfile.read(tmp_path, "dev").environment == "dev"


def test_an_unknown_stack(tmp_path):
    (tmp_path / "Pulumi.dev.yaml").write_text(SECURE)
    with pytest.raises(UserError, match=r"^Pulumi\.x\.yaml: there is no such stack: choose one of dev$"):
        stackfile.read(tmp_path, "x")


def test_a_folder_of_the_checkout_knows_the_stacks_of_the_checkout():
    assert stackfile.find(stackfile.CHECKOUT / "infra", "prod") == stackfile.CHECKOUT / "Pulumi.prod.yaml"


def test_what_is_not_yaml(tmp_path):
    (line,) = lines(tmp_path, "config:\n  a: [1\n  b: 2\n")
    assert line.startswith("Pulumi.dev.yaml:3: not YAML: ")


@pytest.mark.parametrize("text", ["- a\n", "just text\n"])
def test_what_is_not_a_mapping(tmp_path, text):
    assert lines(tmp_path, text) == ["Pulumi.dev.yaml:1: not a stack file: it holds no mapping of keys to values"]


def test_a_config_that_is_not_a_mapping(tmp_path):
    assert lines(tmp_path, "config: 3\n") == ["Pulumi.dev.yaml: config is not a mapping of keys to values"]


def test_everything_wrong_is_said_at_once(tmp_path):
    assert lines(tmp_path, SECURE + "  modelcard-platform:nope: 1\nconfg: {}\n") == [
        "Pulumi.dev.yaml: confg is not a key of a stack file: correct the name or remove it",
        "Pulumi.dev.yaml: nope is not a setting: correct the name or remove it",
    ]


def test_secrets_in_plain_text_are_refused_and_not_repeated(tmp_path):
    (line,) = lines(tmp_path, SECURE.replace("secure: v1:", "cache_password: "))
    assert line == "Pulumi.dev.yaml: secrets are in plain text: remove them and run `mcenv secrets init dev`"

"""What a preview is compared with: the last applied state, and the program of another revision."""

from __future__ import annotations

import json
import subprocess

import pytest

from infra.environments.preview.against import of_revision, of_state
from infra.environments.preview.difference import difference
from infra.errors import UserError

SIGNATURE, SECRET = "4dabf18193072939515e22adb298388d", "1b47061264138c4ac30d75fd1eb44270"
ENCRYPTED = {SIGNATURE: SECRET, "ciphertext": "v1:CANARY"}


@pytest.fixture
def state(stacks, tmp_path):
    """Writes the state that an `up` of the stack would leave, changed by `change`."""

    def write(change=len):
        resources = [
            {"type": each.type, "urn": each.urn, "custom": each.custom, "inputs": _as_applied(each.inputs)}
            for each in stacks["prod"].registrations
        ]
        change(resources)
        file = tmp_path / "prod.json"
        file.write_text(json.dumps({"version": 3, "checkpoint": {"latest": {"resources": resources}}}))
        return file

    return write


def _as_applied(inputs):
    """As the provider returns them: what was a Secret's `stringData` is `data`, encrypted as a whole."""
    applied = {name: value for name, value in inputs.items() if name != "stringData"}
    return applied | ({"data": ENCRYPTED} if inputs.get("kind") == "Secret" else {})


def test_what_was_applied_does_not_differ(stacks, state):
    assert difference(of_state("prod", state()), stacks["prod"].manifests) == ()


def test_what_changed_since(stacks, state):
    def change(resources):
        (edge,) = [r for r in resources if r["urn"].endswith("Deployment::edge-nginx")]
        edge["inputs"] = {**edge["inputs"], "spec": {**edge["inputs"]["spec"], "replicas": 9}}

    (found,) = difference(of_state("prod", state(change)), stacks["prod"].manifests)
    assert [(each.path, each.before) for each in found.changes] == [("spec.replicas", 9)]


def test_whom_the_stack_itself_encrypts_backups_to_is_no_difference(stacks, state):
    def change(resources):
        known = json.dumps(resources).replace("[recipient]", f"age1{'q' * 58}")
        resources[:] = json.loads(known)

    assert f"age1{'q' * 58}" in state(change).read_text()
    assert difference(of_state("prod", state(change)), stacks["prod"].manifests) == ()


def test_what_the_cloud_calls_by_a_name_of_its_own_is_no_difference(stacks, state):
    given = "a72dcbe8-bfbc-45d2-94c9-2829e474a832"

    def change(resources):
        resources[:] = json.loads(json.dumps(resources).replace(":key/backup-storage-key", f":key/{given}"))
        (key,) = [each for each in resources if each["urn"].endswith("Key::backup-storage-key")]
        key["id"] = given

    assert f":key/{given}" in state(change).read_text()
    assert difference(of_state("prod", state(change)), stacks["prod"].manifests) == ()


def test_what_is_being_deleted_is_not_there_any_more(stacks, state):
    before = of_state("prod", state(lambda resources: resources.append({**resources[-1], "delete": True})))
    assert before.keys() == stacks["prod"].manifests.keys()


def test_ciphertext_of_the_state_is_not_shown(state):
    assert "CANARY" not in json.dumps(of_state("prod", state()))


@pytest.mark.parametrize("latest", [None, {}, {"resources": []}])
def test_an_empty_state(tmp_path, latest):
    file = tmp_path / "dev.json"
    file.write_text(json.dumps({"version": 3, "checkpoint": {"latest": latest}}))
    with pytest.raises(UserError, match=r"^dev: never deployed from here"):
        of_state("dev", file)


@pytest.mark.parametrize("name", [None, "missing.json"])
def test_no_state(tmp_path, name):
    with pytest.raises(UserError, match=r"^dev: never deployed from here"):
        of_state("dev", tmp_path / name if name else None)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"checkpoint": 1}', '{"checkpoint": {"latest": [1]}}'])
def test_a_broken_state(tmp_path, text):
    file = tmp_path / "dev.json"
    file.write_text(text)
    with pytest.raises(UserError, match="not a Pulumi state file"):
        of_state("dev", file)


def _git(root, *arguments):
    author = ("-c", "user.name=Test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false")
    subprocess.run(["git", "-C", str(root), *author, *arguments], check=True, capture_output=True)


@pytest.mark.parametrize("revision", ["nowhere", "--help", "HEAD:infra"])
def test_a_revision_that_is_not_there(tmp_path, revision):
    _git(tmp_path, "init", "--quiet")
    _git(tmp_path, "commit", "--quiet", "--allow-empty", "--message=Nothing")
    with pytest.raises(UserError, match=f"^{revision}: neither a stack of this checkout nor a git revision: "):
        of_revision("prod", revision, tmp_path)


def test_a_revision_without_a_preview(tmp_path):
    _git(tmp_path, "init", "--quiet")
    _git(tmp_path, "commit", "--quiet", "--allow-empty", "--message=Nothing")
    with pytest.raises(UserError, match=r"^HEAD: that revision cannot be previewed: it has no infra/"):
        of_revision("prod", "HEAD", tmp_path)


def test_a_folder_without_git(tmp_path):
    with pytest.raises(UserError, match=r"^HEAD: neither a stack of this checkout nor a git revision"):
        of_revision("prod", "HEAD", tmp_path)

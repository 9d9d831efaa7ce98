"""The fingerprint of a plan: what it follows from, and that it is refused when any of it moved."""

from __future__ import annotations

import json
import shutil

import pytest
import yaml

from infra.environments import deployment, plan, state_backups
from infra.environments.ci import planned
from infra.environments.engine import Change
from infra.environments.plan import Plan, plan_of
from infra.environments.workspace import ROOT, Workspace
from infra.errors import UserError

CHANGES = [
    Change(operation="update", type="kubernetes:apps/v1:Deployment", name="edge-nginx", properties=("spec.replicas",)),
    Change(operation="delete", type="kubernetes:core/v1:ConfigMap", name="left"),
]
MANIFESTS = {"apps/v1/Deployment modelcard/edge-nginx": {"spec": {"replicas": 3}}}


@pytest.fixture
def space(tmp_path):
    """A stack in a small checkout, with a state in a file."""
    for folder in ("infra", "policy", "rules", "dashboards"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.py").write_text(f"{folder}\n")
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements" / "runtime.txt").write_text("pulumi\n")
    for file in ROOT.glob("Pulumi*.yaml"):
        shutil.copy(file, tmp_path)
    space = Workspace(
        stack="prod", root=tmp_path, project=tmp_path, environment={"PULUMI_BACKEND_URL": f"file://{tmp_path}/state"}
    )
    assert space.state_file is not None
    space.state_file.parent.mkdir(parents=True)
    keep(space, [{"urn": "urn:pulumi:prod::p::t::a", "type": "t"}])
    return space


def keep(space, resources, **more) -> None:
    latest = {"manifest": {"time": "now"}, "resources": resources, **more}
    space.state_file.write_text(json.dumps({"version": 3, "checkpoint": {"latest": latest}}))


@pytest.fixture
def made(space) -> Plan:
    return plan_of(space, CHANGES, MANIFESTS)


def test_the_same_plan_is_the_same_whatever_the_order_of_steps(space, made):
    again = plan_of(space, list(reversed(CHANGES)), MANIFESTS)
    assert again.fingerprint == made.fingerprint
    made.check(again)
    made.check_foundations(space)


def test_it_survives_being_written_and_read(made, tmp_path):
    made.write(tmp_path / "plan.json")
    assert Plan.read(tmp_path / "plan.json").fingerprint == made.fingerprint


@pytest.mark.parametrize(
    "file",
    ["infra/x.py", "policy/x.py", "rules/x.py", "dashboards/x.py", "requirements/runtime.txt", "Pulumi.prod.yaml"],
)
def test_code_that_moved_is_refused(space, made, file):
    with (space.root / file).open("a") as text:
        text.write("# moved\n")
    with pytest.raises(UserError, match=r"^prod: the code or the stack file is not what the plan was made of \("):
        made.check_foundations(space)


def test_a_file_that_was_renamed_or_added_is_code_that_moved(space, made):
    (space.root / "infra" / "x.py").rename(space.root / "infra" / "y.py")
    with pytest.raises(UserError, match="the code"):
        made.check_foundations(space)


def test_what_python_leaves_beside_the_code_is_none_of_it(space, made):
    (space.root / "infra" / "__pycache__").mkdir()
    (space.root / "infra" / "__pycache__" / "x.pyc").write_bytes(b"x")
    made.check_foundations(space)


def test_a_state_that_moved_is_refused(space, made):
    keep(space, [{"urn": "urn:pulumi:prod::p::t::a", "type": "t", "inputs": {"x": 1}}])
    with pytest.raises(UserError, match=r"^prod: the stack was changed after the plan was made \("):
        made.check_foundations(space)


def test_an_update_that_never_ended_is_a_state_that_moved(space, made):
    keep(space, [{"urn": "urn:pulumi:prod::p::t::a", "type": "t"}], pending_operations=[{"type": "creating"}])
    with pytest.raises(UserError, match="the stack was changed"):
        made.check_foundations(space)


def test_an_up_that_changed_nothing_moves_nothing(space, made):
    keep(space, [{"urn": "urn:pulumi:prod::p::t::a", "type": "t"}], manifest={"time": "later"})
    made.check_foundations(space)


@pytest.mark.parametrize(
    "changes", [[], CHANGES[:1], [*CHANGES[:1], Change(operation="create", type="t", name="left")]]
)
def test_other_steps_are_refused(space, made, changes):
    with pytest.raises(UserError, match="^prod: the engine would do something else than planned"):
        made.check(plan_of(space, changes, MANIFESTS))


def test_the_same_steps_to_another_end_are_refused(space, made):
    other = {"apps/v1/Deployment modelcard/edge-nginx": {"spec": {"replicas": 30}}}
    with pytest.raises(UserError, match="something else than planned"):
        made.check(plan_of(space, CHANGES, other))


def test_the_plan_of_another_stack_is_refused(space, made):
    other = Workspace(stack="dev", root=space.root, project=space.project, environment=space.environment)
    with pytest.raises(UserError, match="^the plan is of stack prod, not of dev"):
        made.check_foundations(other)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"fingerprint": "x", "stack": "prod"}'])
def test_what_is_no_plan_is_told(tmp_path, text):
    (tmp_path / "plan.json").write_text(text)
    with pytest.raises(UserError, match=r"plan\.json: not a plan: make one with"):
        Plan.read(tmp_path / "plan.json")


def test_a_plan_that_was_tampered_with_is_told(made, tmp_path):
    file = tmp_path / "plan.json"
    made.write(file)
    document = json.loads(file.read_text())
    document["parts"]["state"] = "another"
    file.write_text(json.dumps(document))
    with pytest.raises(UserError, match="changed after it was made"):
        Plan.read(file)


def test_those_who_approve_see_what_is_lost_first_and_the_fingerprint(made):
    text = planned.markdown(made)
    assert text.startswith("## Plan of `prod`: 1 to delete, 1 to update\n")
    assert f"`{made.fingerprint}`" in text
    assert "- **delete   core/v1:ConfigMap left**" in text
    assert planned.text(made).endswith(f"Fingerprint {made.fingerprint}")


def test_prods_secrets_must_not_depend_on_a_passphrase(space, monkeypatch):
    checked: list[Workspace] = []
    monkeypatch.setattr(deployment, "check", checked.append)  # what it declares is another test's
    document = yaml.safe_load(space.stack_file.read_text())
    document["config"]["modelcard-platform:secrets"] = {"secure": "v1:x"}
    for wrong in ({"encryptionsalt": "v1:x"}, {"secretsprovider": "passphrase"}):
        space.stack_file.write_text(yaml.safe_dump(document | wrong))
        with pytest.raises(UserError, match=r"^Pulumi\.prod\.yaml: its secrets are encrypted by a passphrase"):
            deployment.check_all(space)
    space.stack_file.write_text(yaml.safe_dump(document | {"secretsprovider": "awskms://alias/x", "encryptedkey": "A"}))
    deployment.check_all(space)
    assert checked == [space]


def test_a_copy_of_the_state_is_whole_and_for_its_owner_only(space):
    file = state_backups.back_up(space)
    assert file is not None
    assert file.stat().st_mode & 0o777 == 0o600
    assert json.loads(file.read_text())["deployment"]["resources"][0]["urn"].endswith("::a")
    assert state_backups.present(space) == [file]


def test_the_oldest_copies_go(space, monkeypatch):
    monkeypatch.setattr(state_backups, "KEPT", 2)
    files = [changed_copy(space, serial) for serial in range(4)]
    assert state_backups.present(space) == files[2:]


def changed_copy(space, serial):
    state = json.loads(space.state_file.read_text())
    state["checkpoint"]["latest"]["resources"][0]["id"] = str(serial)
    space.state_file.write_text(json.dumps(state))
    return state_backups.back_up(space)


def test_a_state_that_is_still_the_same_is_kept_once(space):
    assert state_backups.back_up(space) == state_backups.back_up(space)
    assert len(state_backups.present(space)) == 1


def test_a_stack_that_was_never_deployed_has_nothing_to_copy(space):
    space.state_file.unlink()
    assert state_backups.back_up(space) is None


def test_a_state_that_cannot_be_read_is_told_and_not_copied(space):
    space.state_file.write_text("{")
    with pytest.raises(UserError, match=r"the state of prod cannot be read .*mcenv state restore prod"):
        state_backups.back_up(space)
    assert state_backups.present(space) == []


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "not a copy of a state"),
        ('{"deployment": {"resources": [{"urn": "urn:pulumi:dev::p::t::a"}]}}', "the state of dev, not of prod"),
    ],
)
def test_what_is_no_copy_of_this_stacks_state_is_refused(space, tmp_path, text, complaint):
    file = tmp_path / "copy.json"
    file.write_text(text)
    with pytest.raises(UserError, match=complaint):
        state_backups.restore(space, str(file), print)


def test_a_copy_that_is_not_there_is_told(space):
    with pytest.raises(UserError, match="^nowhere: no such copy of prod's state: choose one of"):
        state_backups.restore(space, "nowhere", print)


def test_what_a_plan_is_made_of_exists():
    assert all((ROOT / name).exists() for name in plan.CODE)

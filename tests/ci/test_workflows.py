"""The hosted workflows: who may do what there, with which secrets, and that what they call exists."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from infra.environments.cli import app
from infra.environments.workspace import ROOT

FOLDER = ROOT / ".github"
WORKFLOWS = {path.stem: yaml.safe_load(path.read_text()) for path in sorted((FOLDER / "workflows").glob("*.yml"))}
ACTIONS = {path.parent.name: yaml.safe_load(path.read_text()) for path in sorted(FOLDER.glob("actions/*/action.yml"))}
JOBS = [(name, job_name, job) for name, each in WORKFLOWS.items() for job_name, job in each["jobs"].items()]
PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}")
SAME_REPOSITORY = "github.event.pull_request.head.repo.full_name == github.repository"
# Beyond reading: a comment, an issue, and a cloud's role that is taken by OIDC.
RIGHTS = {"pull-requests: write", "issues: write", "id-token: write"}

each_workflow = pytest.mark.parametrize("name", WORKFLOWS)
each_job = pytest.mark.parametrize(("name", "job"), [(f"{name}.{job}", value) for name, job, value in JOBS])


def triggers(workflow: dict) -> dict[str, Any]:
    on = workflow[True]  # YAML 1.1 takes `on` for a boolean
    return on if isinstance(on, dict) else {}


def steps() -> Iterator[tuple[str, dict]]:
    for name, job_name, job in JOBS:
        yield from ((f"{name}.{job_name}", step) for step in job["steps"])
    for name, action in ACTIONS.items():
        yield from ((name, step) for step in action["runs"]["steps"])


def commands() -> list[tuple[str, list[str]]]:
    return [
        (where, shlex.split(line))
        for where, step in steps()
        for line in step.get("run", "").splitlines()
        if ".venv/bin/mcenv" in line
    ]


def test_there_are_the_workflows_that_the_platform_lives_by():
    assert set(WORKFLOWS) >= {"ci", "preview", "comment", "environment", "deploy", "night"}
    assert len(commands()) >= 8


def test_actions_are_pinned_by_commit_and_say_their_version():
    text = "\n".join(path.read_text() for path in [*FOLDER.rglob("*.yml")])
    used = [line.split("uses:")[1].strip() for line in text.splitlines() if "uses:" in line]
    assert len(used) > 20
    for each in used:
        reference, _, version = each.partition(" # ")
        assert reference.startswith("./") or (
            PINNED.fullmatch(reference) and re.fullmatch(r"v\d+\.\d+\.\d+", version)
        ), each


@each_workflow
def test_rights_are_given_per_job_and_only_those(name):
    assert WORKFLOWS[name]["permissions"] == {}
    for job in WORKFLOWS[name]["jobs"].values():
        given = {f"{key}: {value}" for key, value in job["permissions"].items()}
        assert {right for right in given if right.endswith("write")} <= RIGHTS


@each_workflow
def test_nothing_runs_a_pull_requests_code_with_rights_of_the_repository(name):
    assert "pull_request_target" not in triggers(WORKFLOWS[name])
    if "workflow_run" not in triggers(WORKFLOWS[name]):
        return
    for job in WORKFLOWS[name]["jobs"].values():
        checkouts = [step for step in job["steps"] if step.get("uses", "").startswith("actions/checkout@")]
        assert not [step for step in checkouts if "ref" in step["with"] or "repository" in step["with"]]


@each_job
def test_a_pull_request_of_a_fork_meets_no_secret(name, job):
    if "pull_request" not in triggers(WORKFLOWS[name.split(".")[0]]):
        return
    secret = "secrets." in yaml.safe_dump(job) or "id-token" in job["permissions"] or "environment" in job
    assert not secret or SAME_REPOSITORY in " ".join(job["if"].split())


@each_job
def test_a_deployment_is_never_cancelled(name, job):
    workflow = WORKFLOWS[name.split(".")[0]]
    lines = [step.get("run", "") for step in job["steps"]]
    if any(re.search(r"mcenv (up|down|env)\b", line) for line in lines):
        assert workflow["concurrency"]["cancel-in-progress"] is False


@each_job
def test_every_job_ends_by_itself_and_leaves_no_token_behind(name, job):
    assert job["timeout-minutes"] <= 120
    for step in job["steps"]:
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize(("where", "step"), [pair for pair in steps() if "run" in pair[1]])
def test_what_is_run_is_one_line_and_takes_nothing_from_outside_into_the_shell(where, step):
    assert "\n" not in step["run"].strip()
    assert "${{" not in step["run"]


@pytest.mark.parametrize(("where", "line"), commands())
def test_every_command_exists_with_its_options(where, line):
    words = line[line.index(".venv/bin/mcenv") + 1 :]
    command = typer.main.get_command(app)
    while words and hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known


def test_every_make_target_exists():
    targets = set(re.findall(r"^([\w./-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    used = [
        line.split()[1] for _, step in steps() for line in step.get("run", "").splitlines() if line.startswith("make ")
    ]
    assert used
    assert set(used) <= targets


def test_prod_is_given_what_was_planned_and_approved_or_nothing():
    jobs = WORKFLOWS["deploy"]["jobs"]
    assert (jobs["plan"]["needs"], jobs["prod"]["needs"], jobs["prod"]["environment"]) == ("dev", "plan", "prod")
    assert [step["run"] for step in jobs["prod"]["steps"] if "run" in step] == [
        ".venv/bin/mcenv up prod --plan plan.json"
    ]
    (kept,) = (step["with"] for step in jobs["plan"]["steps"] if "upload-artifact" in step.get("uses", ""))
    assert (kept["path"], kept["if-no-files-found"]) == ("plan.json", "error")


def test_paths_that_are_named_exist():
    for _, step in steps():
        if (used := step.get("uses", "")).startswith("./"):
            assert Path(ROOT / used / "action.yml").is_file()

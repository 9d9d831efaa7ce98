"""The whole preview: what it says, in which forms, and what it never says."""

from __future__ import annotations

import dataclasses
import json

import pytest
import yaml

from infra.environments.preview import render_json, render_markdown, render_text, write_to
from infra.environments.preview.manifests import HEADER
from infra.environments.preview.stack_preview import checked, compare_stacks
from policy.model import Finding
from tests.conftest import EXTENDED, STACKS, rendered_of


@pytest.fixture(scope="module")
def prod(stacks):
    return checked(stacks["prod"], compare_stacks(stacks["dev"], stacks["prod"]))


@pytest.mark.parametrize("stack", STACKS)
def test_every_stack_is_in_order(stacks, stack):
    assert checked(stacks[stack]).complaints == ()


def test_the_tree_has_every_resource_below_its_component(stacks, prod):
    lines = prod.tree.splitlines()
    assert lines[0] == "modelcard-platform-prod"
    assert len(lines) == len(stacks["prod"].registrations)
    assert "│   ├── StatefulSet database-postgres  (protected)" in [line.replace("└", "├") for line in lines]


def test_json_has_stable_keys(prod):
    document = json.loads(render_json(prod))
    assert list(document) == [
        *("stack", "ok", "kubernetes", "problems", "policies"),
        *("against", "differences", "explained", "unexplained", "tree", "manifests"),
    ]
    assert document["ok"] is True
    assert document["manifests"] == prod.manifests


def test_text_is_coloured_on_request_only(prod):
    assert "\x1b[" not in render_text(prod)
    assert "\x1b[32mprod: nothing to mend" in render_text(prod, colour=True)


def test_between_stacks_nothing_is_replaced(prod):
    text = render_text(prod)
    assert "Against dev: " in text
    assert "StatefulSet modelcard/database-postgres (differs)" in text
    assert "(replaced)" not in text


def test_against_an_earlier_self_effects_are_named(prod):
    earlier = dataclasses.replace(prod.comparison, stacks=False, with_what="state")
    before = dataclasses.replace(prod, comparison=earlier)
    assert "± v1/PersistentVolumeClaim modelcard/app-uploads (replaced)" in render_text(before)
    assert "- **replaced**: `v1/PersistentVolumeClaim modelcard/app-uploads`" in render_markdown(before)


def test_changed_files_are_shown_line_by_line(prod):
    assert "        -max_connections = 50\n" in render_text(prod)
    assert "\n    +max_connections = 200\n" in render_markdown(prod)


def test_markdown_says_why_settings_differ(prod):
    assert "| `app.replicas.max` | 4 | 20 | dev serves a handful of people and pays for that |" in render_markdown(prod)


def test_what_is_wrong_is_said_in_every_form(prod):
    report = dataclasses.replace(prod.policies, findings=(Finding("some-rule", "some:Type::name", "a.b", "is wrong"),))
    broken = dataclasses.replace(prod, problems=("v1/Pod x/y: does not fit",), policies=report)
    assert not broken.ok
    assert broken.complaints == ("v1/Pod x/y: does not fit", "some:Type::name a.b: is wrong [some-rule]")
    for form in (render_text, render_markdown, render_json):
        assert "v1/Pod x/y: does not fit" in form(broken)
    assert render_text(broken).splitlines()[-1].startswith("prod: 2 things to mend (")


def test_an_object_of_the_wrong_shape_is_a_problem_and_no_crash(stacks):
    rendered = stacks["prod"]
    broken = {
        **rendered.manifests,
        "v1/Service modelcard/edge-nginx": {"apiVersion": "v1", "kind": "Service", "spec": 1},
    }
    problems = checked(dataclasses.replace(rendered, manifests=broken)).problems
    assert problems == ("v1/Service modelcard/edge-nginx: spec: 1 is not of type 'object', 'null'",)


def test_what_a_stack_may_have_besides_is_in_order():
    assert checked(rendered_of("prod", **EXTENDED)).problems == ()


def test_files_hold_the_manifests(prod, tmp_path):
    files = write_to(prod.manifests, tmp_path)
    assert len(files) == len(prod.manifests)
    assert tmp_path / "modelcard" / "deployment.apps_edge-nginx.yaml" in files
    assert tmp_path / "cluster" / "namespace_modelcard.yaml" in files
    found = [yaml.load(path.read_text(), yaml.CSafeLoader) for path in files]
    assert sorted(map(json.dumps, found)) == sorted(
        json.dumps(yaml.load(yaml.dump(each, Dumper=yaml.CSafeDumper), yaml.CSafeLoader))
        for each in prod.manifests.values()
    )


def test_files_of_what_is_gone_are_removed_and_others_kept(prod, tmp_path):
    (tmp_path / "mine.yaml").write_text("a: 1\n")
    write_to(prod.manifests, tmp_path)
    write_to({key: each for key, each in prod.manifests.items() if "Ingress" not in key}, tmp_path)
    assert (tmp_path / "mine.yaml").exists()
    assert not list(tmp_path.rglob("ingress*"))


def test_files_of_other_clouds_resources(tmp_path):
    (file,) = write_to({"aws:s3/bucket:Bucket backups": {"bucket": "x"}}, tmp_path)
    assert (file.relative_to(tmp_path).as_posix(), file.read_text()) == (
        "aws/bucket_backups.yaml",
        f"{HEADER}bucket: x\n",
    )

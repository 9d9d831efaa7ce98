"""What a change does to whole stacks: previews against another revision and against another stack."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from infra.environments.ci import comment
from infra.environments.preview import preview
from infra.environments.preview.against import of_revision
from infra.environments.preview.difference import Effect, difference
from infra.environments.preview.stack_preview import compare_stacks
from infra.environments.preview.stackfile import CHECKOUT
from infra.errors import UserError
from tests.conftest import STACKS, rendered_of

EDGE = "apps/v1/Deployment modelcard/edge-nginx"


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """A checkout whose only revision has three nginx pods in each stack, and no stack dev."""
    root = tmp_path_factory.mktemp("repository")
    for folder in ("infra", "policy", "rules", "dashboards"):
        shutil.copytree(CHECKOUT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in CHECKOUT.glob("Pulumi*.yaml"):
        shutil.copy(file, root)
    table = root / "infra" / "defaults.py"
    text = table.read_text()
    assert 'same("edge.replicas", 2)' in text
    table.write_text(text.replace('same("edge.replicas", 2)', 'same("edge.replicas", 3)'))
    dev = (root / "Pulumi.dev.yaml").read_text()
    (root / "Pulumi.dev.yaml").unlink()
    author = ("-c", "user.name=Test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false")
    for command in (("init", "--quiet"), ("add", "."), (*author, "commit", "--quiet", "--message=Three")):
        subprocess.run(["git", "-C", str(root), *command], check=True)
    (root / "Pulumi.dev.yaml").write_text(dev)
    return root


def test_every_stack_is_compared_with_what_the_revision_would_have_made_of_it(repository):
    found = {each.preview.stack: each for each in comment.reports([], repository, "HEAD")}
    assert list(found) == ["dev", "local", "prod"]
    assert {each.effect for each in found["dev"].comparison.differences} == {Effect.CREATED}
    for stack in ("local", "prod"):
        assert {each.key for each in found[stack].comparison.differences} == {EDGE, "v1/ResourceQuota modelcard/quota"}


def test_a_revision_that_is_not_there(repository):
    with pytest.raises(UserError, match="^nowhere: neither"):
        comment.reports(["prod"], repository, "nowhere")


def test_the_program_of_a_revision_is_run(repository):
    found = {
        each.key: each for each in difference(of_revision("prod", "HEAD", repository), rendered_of("prod").manifests)
    }
    changes = found[EDGE].changes
    assert [(each.before, each.after) for each in changes if each.path == "spec.replicas"] == [(3, 2)]


def test_a_preview_against_a_revision(repository):
    comparison = preview("prod", repository, against="HEAD").comparison
    assert comparison.with_what == "HEAD"
    assert not comparison.stacks
    assert EDGE in {each.key for each in comparison.differences}


def test_a_stack_that_the_revision_does_not_have(repository):
    with pytest.raises(UserError, match=r"^HEAD: the program of that revision fails: Pulumi\.dev\.yaml: there"):
        of_revision("dev", "HEAD", repository)


@pytest.mark.parametrize("pair", [(a, b) for a in STACKS for b in STACKS if a < b], ids="-".join)
def test_the_stacks_differ_by_settings_only(pair):
    assert compare_stacks(*map(rendered_of, pair)).unexplained == ()


def test_a_preview_of_the_checkout_against_a_stack():
    result = preview("prod", CHECKOUT, against="dev")
    assert result.comparison.with_what == "dev"
    assert result.ok

"""What is said below a pull request: what happens to every stack, what is lost, what it costs, what is wrong."""

from __future__ import annotations

import copy
import dataclasses
import json
from decimal import Decimal

import pytest

from infra.environments.ci import comment
from infra.environments.ci.comment import LONGEST, MARK, Report
from infra.environments.preview.cost import costs
from infra.environments.preview.difference import difference
from infra.environments.preview.stack_preview import Comparison, checked
from infra.errors import UserError
from policy.model import Finding
from tests.conftest import rendered_of

UPLOADS = "v1/PersistentVolumeClaim modelcard/app-uploads"
EDGE = "apps/v1/Deployment modelcard/edge-nginx"


@pytest.fixture(scope="module")
def prod():
    return checked(rendered_of("prod"))


@pytest.fixture
def before(prod):
    return copy.deepcopy(dict(prod.manifests))


def report(prod, before) -> Report:
    return Report(
        preview=prod,
        comparison=Comparison(with_what="main", stacks=False, differences=difference(before, prod.manifests)),
        before=costs(before),
        after=costs(prod.manifests),
    )


def row(text: str, start: str) -> str:
    (line,) = (line for line in text.splitlines() if line.startswith(start))
    return line


def test_a_change_of_nothing_says_so_in_every_place(prod, before):
    text = comment.markdown([report(prod, before)])
    assert text.startswith(f"{MARK}\n")
    assert set(row(text, "| `prod` |").replace("`prod`", "")) == {"|", " "}
    assert "→" not in text
    assert "Replaced or deleted" not in text


def test_what_is_replaced_or_deleted_is_named_with_the_reason(prod, before):
    before[UPLOADS]["spec"]["storageClassName"] = "gp3"
    before["v1/ConfigMap modelcard/left"] = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "left"}}
    text = comment.markdown([report(prod, before)])
    assert f"- `prod`: **replaced** `{UPLOADS}` for `spec.storageClassName`" in text
    assert "- `prod`: **deleted** `v1/ConfigMap modelcard/left`" in text
    assert row(text, "| `prod` |") == "| `prod` |  |  |  | 1 | 1 |  |"


def test_requests_are_told_before_and_after(prod, before):
    before[EDGE]["spec"]["replicas"] -= 1
    text = comment.markdown([report(prod, before)])
    (old, new) = (costs(each).least for each in (before, prod.manifests))
    assert new.cpu - old.cpu == Decimal("0.12")
    # Two decimal places are what is told.
    assert f"→ **{round(new.cpu, 2).normalize():f}** (+0.12)" in row(text, "| `prod` at least |")
    assert row(text, "| `prod` at least |").endswith(f"{old.pods} → **{new.pods}** (+1) |")


def test_the_least_is_the_autoscalers_and_the_most_is_what_the_quota_must_hold(prod):
    found = costs(prod.manifests)
    quotas = [
        each["spec"]["hard"] for key, each in prod.manifests.items() if "ResourceQuota" in key and "agents" not in key
    ]
    assert found.most.pods == sum(int(each["pods"]) for each in quotas)
    app = prod.manifests["autoscaling/v2/HorizontalPodAutoscaler modelcard/modelcard-generator-hpa"]["spec"]
    assert found.most.pods - found.least.pods >= app["maxReplicas"] - app["minReplicas"]
    assert found.node.pods >= 1


def test_what_is_wrong_is_told_and_cannot_pretend_to_be_markdown(prod, before):
    finding = Finding("some-rule", "some:Type::name", "a", "is <script> wrong")
    broken = dataclasses.replace(prod, policies=dataclasses.replace(prod.policies, findings=(finding,)))
    text = comment.markdown([report(broken, before)])
    assert "- `prod`: some:Type::name a: is &lt;script> wrong [some-rule]" in text
    assert "1 findings" in text


def test_exceptions_in_force_are_told_with_their_end(prod, before):
    text = comment.markdown([report(prod, before)])
    (excepted, *_) = prod.policies.excepted
    assert f"until {excepted[1].expires})" in text


def test_a_comment_is_never_longer_than_github_takes(prod, before):
    before["v1/ConfigMap modelcard/large"] = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "large", "namespace": "modelcard"},
    }
    many = {
        **before,
        **{
            f"v1/ConfigMap modelcard/{number}": {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": f"{number}-{'x' * 50}", "namespace": "modelcard"},
            }
            for number in range(2000)
        },
    }
    text = comment.markdown([report(prod, many)])
    assert len(text) <= LONGEST
    assert "Too long to show: `mcenv preview prod --against main`" in text
    assert "### Policies" in text


def test_json_is_for_programs(prod, before):
    before[UPLOADS]["spec"]["storageClassName"] = "gp3"
    (document,) = json.loads(comment.plain([report(prod, before)]))
    assert (document["stack"], document["ok"], document["effects"]) == ("prod", True, {"replaced": 1})
    assert document["lost"] == [{"key": UPLOADS, "effect": "replaced"}]
    assert document["requests"]["after"]["least"]["cpu"] > 0


def test_a_folder_without_stacks_is_refused(tmp_path):
    with pytest.raises(UserError, match="nothing to preview"):
        comment.reports([], tmp_path, "HEAD")


def test_a_stack_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"^Pulumi\.nowhere\.yaml: there is no such stack"):
        comment.reports(["nowhere"], tmp_path, "HEAD")


def test_no_secret_is_in_it(prod, before):
    text = comment.markdown([report(prod, {})])
    assert "BEGIN" not in text
    assert prod.manifests

"""What a preview environment is, before there is a cluster: whose names, whose secrets, how small."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from infra.environments.ephemeral import derived, lifetime
from infra.environments.preview.stack_preview import checked, rendered
from infra.environments.workspace import ROOT
from infra.errors import UserError
from infra.kube.marks import ENVIRONMENT
from tests.conftest import rendered_of

DEV = """
secretsprovider: awskms://alias/dev
encryptedkey: AAAA
config:
  aws:region: eu-central-1
  modelcard-platform:environment: dev
  modelcard-platform:secrets: {secure: v1:theirs}
  modelcard-platform:rotation: 7
  modelcard-platform:recovery: newest
  modelcard-platform:app: {replicas: {min: 3, max: 9}, termination_grace: 50}
  modelcard-platform:edge: {host: dev.example.org, tls_secret: wildcard}
  modelcard-platform:notifications: {slack_token: {secure: v1:theirs}}
"""


@pytest.fixture
def root(tmp_path):
    for file in ROOT.glob("Pulumi*.yaml"):
        shutil.copy(file, tmp_path)
    (tmp_path / "Pulumi.dev.yaml").write_text(DEV)
    return tmp_path


@pytest.fixture
def dev(root):
    return derived.origin("dev", root)


def written(origin, name, kept=None) -> dict:
    return yaml.safe_load(derived.write(origin, name, kept or {}).stack_file.read_text())


def test_it_is_its_origin_with_a_name_an_address_and_sizes_of_its_own(dev):
    config = written(dev, "pr-12")["config"]
    assert config["aws:region"] == "eu-central-1"
    assert config["modelcard-platform:namespace"] == "modelcard-env-pr-12"
    assert config["modelcard-platform:edge"] == {"host": "pr-12.dev.example.org", "tls_secret": None}
    assert config["modelcard-platform:app"]["replicas"] == {"min": 2, "max": 3}
    assert config["modelcard-platform:app"]["termination_grace"] == 50


def test_it_has_nothing_that_only_its_origins_key_opens_and_calls_nobody(dev):
    document = written(dev, "pr-12")
    assert "theirs" not in yaml.safe_dump(document)
    assert "encryptedkey" not in document
    assert document["secretsprovider"] == "awskms://alias/dev"
    assert not {key for key in document["config"] if key.endswith((":rotation", ":recovery", ":notifications"))}


def test_it_keeps_secrets_of_its_own_from_one_up_to_the_next(dev):
    own = {"config": {"modelcard-platform:secrets": {"secure": "v1:own"}}, "encryptionsalt": "v1:salt"}
    document = written(dev, "pr-12", own)
    assert document["config"]["modelcard-platform:secrets"] == {"secure": "v1:own"}
    assert document["encryptionsalt"] == "v1:salt"


def test_its_stack_file_is_read_by_its_owner_only(dev):
    assert derived.write(dev, "pr-12", {}).stack_file.stat().st_mode & 0o777 == 0o600


@pytest.fixture(scope="module")
def environments(tmp_path_factory):
    """Two environments and the stack that they derive from, of this checkout."""
    root = tmp_path_factory.mktemp("root")
    for file in ROOT.glob("Pulumi*.yaml"):
        shutil.copy(file, root)
    origin = derived.origin("dev", root)
    spaces = [derived.write(origin, name, {}) for name in ("pr-1", "pr-12")]
    return [*(rendered(space.stack, space.project) for space in spaces), rendered_of("dev")]


def test_it_is_in_order(environments):
    assert checked(environments[0]).complaints == ()


def test_no_two_of_them_and_not_their_origin_share_an_object(environments):
    one, other, origin = (set(each.manifests) for each in environments)
    assert one & other == one & origin == set()


def test_everything_says_whose_it_is(environments):
    labels = [each["metadata"]["labels"].get(ENVIRONMENT) for each in environments[0].manifests.values()]
    assert set(labels) == {"modelcard-env-pr-1"}
    assert not [
        each for each in environments[2].manifests.values() if ENVIRONMENT in each.get("metadata", {}).get("labels", {})
    ]


def test_it_asks_for_less_than_its_origin(environments):
    hard = [
        each.manifests[f"v1/ResourceQuota {each.settings.namespace}/quota"]["spec"]["hard"]["pods"]
        for each in environments
    ]
    assert int(hard[0]) < int(hard[2])


def test_it_needs_no_api_of_which_a_cluster_has_one(environments):
    assert not [key for key in environments[0].manifests if "APIService" in key or "keda.sh" in key]
    (scaler,) = (each for key, each in environments[0].manifests.items() if "HorizontalPodAutoscaler" in key)
    assert {each["type"] for each in scaler["spec"]["metrics"]} == {"Resource"}


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("PR-12", "not a name"),
        ("12", "not a name"),
        ("a--b", "not a name"),
        ("../etc", "not a name"),
        ("x" * 36, "1 characters too long"),
        ("a-observability", "cannot end in -observability"),
        ("a-agents", "cannot end in -agents"),
    ],
)
def test_a_name_that_cannot_be_had(dev, name, complaint):
    with pytest.raises(UserError, match=f"^{name}: .*{complaint}"):
        derived.check_name(name, dev)


@pytest.mark.parametrize("name", ["pr-12", "alice", "x" * 35])
def test_a_name_that_can_be_had(dev, name):
    derived.check_name(name, dev)


def test_nothing_is_tried_beside_prod(root):
    with pytest.raises(UserError, match="^--from prod: "):
        derived.origin("prod", root)


@pytest.mark.parametrize(("text", "life"), [("90m", timedelta(minutes=90)), ("24h", timedelta(days=1))])
def test_a_time_to_live(text, life):
    assert lifetime.parse(text) == life


@pytest.mark.parametrize("text", ["", "24", "0h", "1w", "-1h", "15d", "24 h"])
def test_no_time_to_live(text):
    with pytest.raises(UserError, match=f"^--ttl {text}: "):
        lifetime.parse(text)


NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


def test_a_moment_is_read_as_it_was_written():
    assert lifetime.read(lifetime.written(NOW)) == NOW


@pytest.mark.parametrize("text", [None, "", "tomorrow", "2026-11-25T12:00:00"])
def test_what_is_no_moment_is_not_taken_for_one(text):
    assert lifetime.read(text) is None


@pytest.mark.parametrize(
    ("rest", "said"),
    [
        (timedelta(hours=25, minutes=1), "1d 1h 1m"),
        (timedelta(minutes=3), "3m"),
        (timedelta(0), "0m"),
        (timedelta(minutes=-2), "over"),
    ],
)
def test_what_is_left_is_said_for_people(rest, said):
    assert lifetime.left(NOW + rest, NOW) == said


def test_the_workspace_is_in_a_folder_that_git_does_not_see(dev):
    folder = dev.environment("pr-12").project
    assert folder.relative_to(dev.space.root) == Path(".local/environments/dev/pr-12")

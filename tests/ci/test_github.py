"""What is written to GitHub: in one place each, by us only, and with a clear word when it cannot be."""

from __future__ import annotations

import pytest

from infra.environments.ci.github import GitHub
from infra.errors import UserError
from tests.ci.hub import SOMEBODY

BODY = "<!-- mark -->\nfirst"


def test_a_comment_is_written_once_and_then_updated_in_place(hub, github):
    assert github.comment(12, BODY).what == "created"
    assert github.comment(12, "<!-- mark -->\nsecond").what == "updated"
    assert [each["body"] for each in hub.comments[12]] == ["<!-- mark -->\nsecond"]


def test_a_comment_that_says_the_same_is_left_alone(hub, github):
    github.comment(12, BODY)
    hub.comments[12][0]["body"] = BODY.replace("\n", "\r\n")
    written = github.comment(12, BODY)
    assert (written.what, written.url) == ("unchanged", hub.comments[12][0]["html_url"])
    assert not [each for each in hub.requests if each.startswith("PATCH")]


def test_a_comment_is_found_on_any_page(hub, github):
    for number in range(120):
        hub.say(12, f"word {number}", SOMEBODY)
    hub.say(12, BODY)
    assert github.comment(12, "<!-- mark -->\nnew").what == "updated"
    assert len(hub.comments[12]) == 121


def test_what_somebody_else_wrote_is_never_changed(hub, github):
    theirs = hub.say(12, BODY, SOMEBODY)
    assert github.comment(12, "<!-- mark -->\nnew").what == "created"
    assert theirs["body"] == BODY


def test_comments_with_another_mark_or_pull_request_are_not_ours(hub, github):
    hub.say(12, "<!-- other -->\nfirst")
    hub.say(13, BODY)
    assert github.comment(12, BODY).what == "created"
    assert [len(each) for each in hub.comments.values()] == [2, 1]


def pull(number: int, label: str, sha: str, state: str = "open") -> dict:
    return {"number": number, "state": state, "head": {"label": label, "sha": sha}}


def test_the_pull_request_is_the_open_one_of_that_branch_and_commit(hub, github):
    hub.pulls = [
        pull(1, "fork:topic", "aaa", "closed"),
        pull(2, "other:topic", "aaa"),
        pull(3, "fork:topic", "bbb"),
        pull(4, "fork:topic", "aaa"),
    ]
    assert github.pull_request("fork:topic", "aaa") == 4


def test_a_branch_that_moved_on_has_no_pull_request_for_its_old_commit(hub, github):
    hub.pulls = [pull(3, "fork:topic", "bbb")]
    assert github.pull_request("fork:topic", "aaa") is None


def test_an_issue_is_opened_updated_and_closed(hub, github):
    assert github.issue("Drift of prod", "one", "drift").what == "created"
    assert github.issue("Drift of prod", "two", "drift").what == "updated"
    assert github.issue("Drift of prod", "two", "drift").what == "unchanged"
    assert github.issue("Drift of prod", None, "drift").what == "closed"
    assert github.issue("Drift of prod", None, "drift").what == "none"
    assert [(each["state"], each["body"]) for each in hub.issues] == [("closed", "two")]


def test_a_new_issue_is_opened_after_one_that_was_closed(hub, github):
    hub.open("Drift of prod", "old", "drift")["state"] = "closed"
    assert github.issue("Drift of prod", "new", "drift").what == "created"


def test_somebody_elses_issue_of_the_same_title_is_left_alone(hub, github):
    hub.open("Drift of prod", "theirs", "drift", SOMEBODY)
    github.issue("Drift of prod", None, "drift")
    assert hub.issues[0]["state"] == "open"


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_a_busy_github_is_asked_again(hub, github, status):
    hub.refusals = [status, status]
    assert github.pull_request("fork:topic", "aaa") is None
    assert len(hub.requests) == 3


def test_what_would_be_created_twice_is_not_tried_twice(hub, github):
    hub.comments[12] = []
    hub.refusals = []
    github.comment(12, BODY)
    hub.comments.clear()
    original = hub.answer
    hub.answer = lambda method, *rest: (502, {}) if method == "POST" else original(method, *rest)
    with pytest.raises(UserError, match="GitHub does not answer"):
        github.comment(12, BODY)
    assert [each for each in hub.requests if each.startswith("POST")] == [
        "POST /repos/acme/platform/issues/12/comments"
    ] * 2


def test_a_github_that_stays_busy_is_one_clear_line(hub, github):
    hub.refusals = [503] * 9
    with pytest.raises(UserError, match=r"^GitHub does not answer \(GET .*503\): run again later$"):
        github.pull_request("fork:topic", "aaa")


def test_nobody_there_is_one_clear_line():
    nobody = GitHub(api="http://127.0.0.1:9", repository="acme/platform", token="x", wait=0.001)
    with pytest.raises(UserError, match="GitHub does not answer"):
        nobody.pull_request("fork:topic", "aaa")


def test_missing_rights_are_named(hub):
    stranger = GitHub(api=hub.url, repository="acme/platform", token="wrong")
    with pytest.raises(UserError, match=r"GitHub refuses GET .*: 401 Bad credentials: see the job's `permissions`"):
        stranger.comment(12, BODY)


def test_outside_of_a_workflow_it_says_what_is_missing():
    with pytest.raises(UserError, match="^GITHUB_REPOSITORY, GITHUB_TOKEN not set: "):
        GitHub.of_environment({})

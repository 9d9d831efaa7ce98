"""The runbooks as they are, and each check by something broken. Python only: what they say is executed elsewhere."""

from __future__ import annotations

import pytest

from infra.environments.workspace import ROOT
from tests.runbooks import checks, exceptions
from tests.runbooks.checks import dead_links, load_runbooks, of_pages, problems
from tests.runbooks.declared import declared
from tests.runbooks.pages import read
from tests.runbooks.shell import parse

PAGE = """\
# CrashLooping

It ends again and again. `NAMESPACE`, `POD` and `CONTAINER` below are the labels of the alert.

## Symptoms

- It is not there.

## Immediate actions

```sh
kubectl -n NAMESPACE logs POD -c CONTAINER --previous --tail=50
kubectl -n modelcard get pods -l app.kubernetes.io/name=modelcard-generator
```

## Resolution

- Go back: `kubectl -n modelcard rollout undo deployment/modelcard-generator`.

## Prevention

- Try it before. See [RolloutStuck](rollout-stuck.md).
"""
GET = "kubectl -n modelcard get pods -l app.kubernetes.io/name=modelcard-generator\n"
EXEC = "kubectl -n modelcard exec database-postgres-0 -c postgres -- "
ASK = "kubectl -n modelcard-observability exec prometheus-0 -- promtool query instant https://localhost:9090 "


@pytest.fixture(scope="module")
def runbooks():
    return load_runbooks(ROOT, declared())


@pytest.fixture
def said(runbooks, tmp_path):
    """What is said of a page, with places."""

    def say(text: str) -> list[str]:
        path = tmp_path / "crash-looping.md"
        path.write_text(text)
        return [str(each) for each in of_pages([read(path, "runbooks/crash-looping.md")], runbooks)]

    return say


def test_nothing_is_wrong(runbooks):
    assert [str(each) for each in problems(runbooks)] == []


def test_nothing_is_wrong_with_what_is_broken_below(said):
    assert said(PAGE) == []


BROKEN_PAGES = [
    ("# CrashLooping", "# CrashLoops", 1, "the name of the alert that the file is named after"),
    ("It ends again and again. `NAMESPACE`, `POD` and `CONTAINER` below are the labels of the alert.", "", 1,
     "what the alert means"),
    ("## Prevention", "## Afterwards", 1, "has the sections Symptoms, Immediate actions, Resolution, Prevention"),
    ("- It is not there.", "It is not there.", 5, "Symptoms is a list"),
    ("- It is not there.", "- It is not there.\n\n### Often\n\n- Yes.", 9, "and Resolution are divided"),
    ("## Prevention\n", "## Prevention\n\n- And so on.\n" + "\n" * 100, 124, "nobody reads more than 100 at night"),
    ("It is not there.", "RolloutStuck follows.", 7, "without a link: [RolloutStuck](rollout-stuck.md)"),
    ("```sh", "```sql", 11, "a block of `sql` is not run"),
    ("--tail=50", "--tail='50", 12, "does not parse"),
    ("`POD` and", "POD and", 12, "POD is to be replaced by what?"),
    ("`CONTAINER` below are the labels of the alert", "`CONTAINER` are the labels `namespace`, `pod` and `case`", 3,
     "`CONTAINER` is the label case"),
    ("It is not there.", "Raise `app.resources.memory`.", 7, "there is no setting app.resources.memory"),
    ("It is not there.", "`mcenv deploy prod`", 7, "mcenv has no such command"),
    ("It is not there.", "`mcenv secrets rotate --all prod`", 7, "No such option"),
    ("It is not there.", "`mcenv secrets rotate`", 7, "Missing argument"),
    ("It is not there.", "Ask `topk(3, http_request_totl)`.", 7, "http_request_totl is unknown"),
    ("rollout undo deployment/modelcard-generator", "rollout undo deployment/modelcard", 18,
     "no Deployment modelcard in"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "line", "message"), BROKEN_PAGES)
def test_a_page_that_breaks_a_promise(said, old, new, line, message):
    assert PAGE.count(old) == 1
    assert any(
        each.startswith(f"runbooks/crash-looping.md:{line}: ") and message in each
        for each in said(PAGE.replace(old, new))
    ), said(PAGE.replace(old, new))


BROKEN_COMMANDS = [
    ("kubectl -n modelcards get pods", "there is no namespace modelcards"),
    ("kubectl -n modelcard get podz", "there is no kind podz"),
    ("kubectl get pods", "without -n looks into the namespace `default`"),
    ("kubectl -n modelcard get pods -l app.kubernetes.io/name=nginx", "no pod in modelcard has the label"),
    ("kubectl -n modelcard get pods -l 'app.kubernetes.io/name in (cache-redis, cache)'", "kubernetes.io/name=cache"),
    ("kubectl -n modelcard describe deployment nginx", "there is no Deployment nginx in modelcard"),
    ("kubectl -n modelcard-agents get statefulsets", "there is no StatefulSet in modelcard-agents"),
    ("kubectl -n modelcard logs deployment/cache-redis -c cache", "has no container cache; it has redis"),
    ("kubectl -n modelcard logs cache-redis-0", "there is no pod cache-redis-0 in modelcard"),
    ("kubectl -n modelcard logs database-postgres-1", "there is no pod database-postgres-1"),
    ("kubectl -n modelcard logs deployment/cache-redis -f", "`-f` never ends"),
    ("kubectl -n modelcard logs deployment/cache-redis --tails=3", "`kubectl logs --tails`: correct the flag"),
    ("kubectl -n modelcard restart deployment/cache-redis", "`kubectl restart` is none of"),
    ("kubectl -n modelcard rollout status deployment/cache-redis", "give it a --timeout"),
    (f"{EXEC}redis-cli ping", "has no redis-cli"),
    (f"{EXEC}sh -c 'cat /run/secrets/postgres/monitor | jq'", "has no jq"),
    (f"{EXEC}cat /run/secrets/postgres/admin", "there is no /run/secrets/postgres/admin in the container postgres"),
    (f"{EXEC}ls /etc/redis", "there is no /etc/redis in the container postgres"),
    ("kubectl -n modelcard-observability exec deployment/kube-state-metrics -- ls", "has no ls"),
    (f"{ASK}'http_request_totl'", "http_request_totl is unknown"),
    (f"{ASK}'http_requests_total{{code=\"500\"}}'", "http_requests_total has no label code"),
    (f"{ASK}'rate(up[5m]'", "does not parse"),
    ("kubectl -n modelcard-observability port-forward prometheus-0 9091", "prometheus has no port 9091; it has 9090"),
    ("kubectl debug node/NODE -it --image=busybox -- df -h", "runs `chroot /host …`"),
    ("kubectl -n modelcard delete pods --all", "deletes everything"),
    ("kubectl -n modelcard scale deployment/edge-nginx --replicas=4", "`kubectl scale` changes something: say what"),
    ("kubectl -n modelcard rollout restart deployment/edge-nginx", "`kubectl rollout` changes something: say what"),
    ("kubectl -n modelcard create job again --from=cronjob/nightly-nothing", "there is no CronJob nightly-nothing"),
    ("stern modelcard", "stern is not on everybody's computer"),
    (f'sql() {{ {EXEC}psql -c "$1"; }}\nsql "VACUUM cards"', "`sql` changes something: say what"),
    ("for space in modelcard other; do kubectl -n $space get pods; done", "there is no namespace other"),
    ("echo $(kubectl -n other get pods)", "there is no namespace other"),
    ("kubectl -n modelcard-observability port-forward prometheus-0 9090\nkubectl get nodes", "nothing can follow it"),
]  # fmt: skip


@pytest.mark.parametrize(("command", "message"), BROKEN_COMMANDS)
def test_a_command_that_would_not_work(said, command, message):
    found = said(PAGE.replace(GET, f"{command}\n"))
    assert any(each.startswith("runbooks/crash-looping.md:1") and message in each for each in found), found


GOOD_COMMANDS = [
    "# Twice as many\nkubectl -n modelcard scale deployment/edge-nginx --replicas=4",
    f"{EXEC}sh -c 'ls /run/secrets/postgres/m*; df -h /var/lib/postgresql/data/pgdata'",
    "kubectl -n modelcard-observability get pvc data-prometheus-1",
    "for space in modelcard modelcard-agents; do kubectl -n $space get pods; done",
    "kubectl -n kube-system get pods | grep metrics-server",
    "kubectl -n modelcard logs deployment/edge-nginx -c exporter --tail=10 2>&1 | sort | uniq -c | head -5",
    f"{ASK}'count by (job) (up == 0)'",
]


@pytest.mark.parametrize("command", GOOD_COMMANDS)
def test_a_command_that_works(said, command):
    assert said(PAGE.replace(GET, f"{command}\n")) == []


def test_a_link_that_leads_nowhere(tmp_path):
    (tmp_path / "runbooks").mkdir()
    (tmp_path / "runbooks" / "a.md").write_text("# A\n\nSee [b](b.md), [c](#c), [a](#a) and\n[d](a.md#d).\n")
    (tmp_path / "README.md").write_text("[A](runbooks/a.md) and [B](runbooks/b.md)\n")
    assert [str(each) for each in dead_links(tmp_path)] == [
        "README.md:1: the link runbooks/b.md leads nowhere",
        "runbooks/a.md:3: the link b.md leads nowhere",
        "runbooks/a.md:3: the link #c leads to no heading",
        "runbooks/a.md:3: the link a.md#d leads to no heading",
    ]


def test_an_exception_without_a_block(runbooks, monkeypatch):
    monkeypatch.setattr(checks, "NOT_EXECUTED", (("crash-looping", "kubectl does not", "no"),))
    assert [each.message for each in checks.exceptions(runbooks)] == [
        "0 blocks of runbooks/crash-looping.md have a line that begins with 'kubectl does not': correct the entry",
        "crash-looping: say why it cannot be executed here",
    ]
    assert len({each[:2] for each in exceptions.NOT_EXECUTED}) == len(exceptions.NOT_EXECUTED)


def test_what_a_shell_would_run():
    script = parse('a() { b "$1"; }\n# why\nA=1 c x\\\n y | d \'q r\' 2>/dev/null && e > file; f "g h" # i\n', 10)
    assert [(each.line, *each.words) for each in script.commands] == [
        (10, "b", "$1"),
        (12, "c", "x", "y"),
        (13, "d", "q r"),
        (13, "e"),
        (13, "f", "g h"),
    ]
    assert script.functions == {"a"}
    assert script.commands[1].note == "why"
    assert parse("echo 'a", 3).unclosed == 3

"""What of a kubectl command can be known without a cluster: that it names what is there, and ends by itself."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from tests.conftest import Manifest
from tests.runbooks.arguments import ENDLESS, Kubectl
from tests.runbooks.declared import (
    CLUSTER_WIDE,
    MADE_BY_THE_CLUSTER,
    NOT_OURS,
    Declared,
    containers,
    kind_of,
)
from tests.runbooks.images import programs
from tests.runbooks.pages import PLACEHOLDER
from tests.runbooks.shell import parse, substitutions

VERBS = {
    "get", "describe", "logs", "exec", "top", "rollout", "scale", "delete", "cordon", "uncordon", "drain", "patch",
    "auth", "port-forward", "debug", "create", "wait", "annotate",
}  # fmt: skip
PATH = re.compile(r"(?<![\w.:/*$}-])/[\w./*-]*[\w*]")
ANYWHERE = ("/dev/null", "/proc", "/tmp")
CODE = {"python"}  # what follows is no shell, and a path in it none of the container's


def problems(command: Kubectl, declared: Declared) -> Iterator[str]:
    """What would not work in prod."""
    if command.verb not in VERBS:
        yield f"`kubectl {command.verb}` is none of {', '.join(sorted(VERBS))}"
        return
    for flag in command.odd:
        yield f"`kubectl {command.verb} {flag}`: correct the flag, or add it to tests/runbooks/kubectl.py"
    for flag in sorted(ENDLESS & command.flags.keys()):
        yield f"`{flag}` never ends: what follows is not run"
    if command.verb == "delete" and {"--all", "--all-namespaces", "-A"} & command.flags.keys():
        yield "deletes everything: name what is to go"
    namespace = command.namespace
    if namespace is not None and not is_placeholder(namespace) and namespace not in declared.namespaces | set(NOT_OURS):
        yield f"there is no namespace {namespace}; there are {', '.join(sorted(declared.namespaces))}"
    elif namespace not in NOT_OURS and "--raw" not in command.flags:
        yield from CHECKS.get(command.verb, _named)(command, declared)


def is_placeholder(word: str) -> bool:
    """Whether the reader replaces it, or a variable does."""
    return (
        bool(PLACEHOLDER.fullmatch(word))
        or word.startswith("$")
        or PLACEHOLDER.match(word.partition("-")[0]) is not None
    )


def target(command: Kubectl, declared: Declared) -> tuple[Manifest | None, str | None]:
    """The workload whose pods `exec`, `logs` or `port-forward` are about, and what is wrong with its name.

    Neither, where the reader names it.
    """
    namespace = command.namespace or ""
    if not command.things:
        return None, "names no pod"
    kind_word, slash, name = command.things[0].rpartition("/")
    kind = kind_of(kind_word) if slash else "Pod"
    if is_placeholder(name) or is_placeholder(namespace):
        return None, None
    if kind is None:
        return None, f"there is no kind {kind_word}"
    if kind == "Pod":
        found = declared.of_pod(namespace, name)
        hint = "the pods of a Deployment have no fixed names: say deployment/NAME"
        return found, None if found else f"there is no pod {name} in {namespace or 'no namespace'} ({hint})"
    found = declared.named(kind, namespace).get(name)
    return found, None if found else f"there is no {kind} {name} in {namespace or 'no namespace'}"


def _pods(command: Kubectl, declared: Declared) -> Iterator[str]:
    selector = command.flags.get("--selector")
    if selector is not None:
        if is_placeholder(command.namespace or "") or is_placeholder(selector.partition("=")[2]):
            return
        yield from _selector(command, declared, selector)
        found = declared.selected(command.namespace or "", selector)
        workload = found[0] if found else None
    else:
        workload, problem = target(command, declared)
        if problem:
            yield problem
    if workload is not None:
        yield from _container(command, workload)
        if command.verb == "port-forward":
            yield from _port(command, workload)


def _container(command: Kubectl, workload: Manifest) -> Iterator[str]:
    wanted, there = command.flags.get("--container"), containers(workload)
    name = workload["metadata"]["name"]
    if wanted is not None and not is_placeholder(wanted) and wanted not in there:
        yield f"{name} has no container {wanted}; it has {', '.join(there)}"


def _port(command: Kubectl, workload: Manifest) -> Iterator[str]:
    ports = {str(port["containerPort"]) for each in containers(workload).values() for port in each.get("ports", [])}
    for word in command.things[1:]:
        if word.rpartition(":")[2] not in ports:
            yield f"{workload['metadata']['name']} has no port {word}; it has {', '.join(sorted(ports))}"


def _exec(command: Kubectl, declared: Declared) -> Iterator[str]:
    if not command.inner:
        yield "`exec` without `-- COMMAND`"
        return
    yield from _pods(command, declared)
    workload, _ = target(command, declared)
    if workload is None:
        return
    there = containers(workload)
    container = there.get(command.flags.get("--container", next(iter(there))))
    if container is None:
        return
    available = programs(container["image"])
    for program in inner_programs(command.inner):
        if program not in available:
            yield f"the image of {workload['metadata']['name']} ({container['image']}) has no {program}"
    if command.inner[0] not in CODE:
        for path in sorted({path for word in command.inner for path in PATH.findall(word)}):
            if not path.startswith(ANYWHERE) and not declared.has_path(workload, container, path):
                yield f"there is no {path} in the container {container['name']} of {workload['metadata']['name']}"


def inner_programs(words: Sequence[str]) -> Iterator[str]:
    """What a command in a container runs, a shell's script included."""
    yield words[0]
    if words[0] == "sh" and "-c" in words[:-1]:
        script = parse(words[words.index("-c") + 1])
        for each in script.commands:
            if each.program not in script.functions | {"cd", "echo", "export", "exit", "[", "for"}:
                yield from inner_programs(each.words)
            for word in each.words:
                for inside in substitutions(word):
                    yield from (inner.program for inner in parse(inside).commands)
    if words[0] == "timeout" and len(words) > 2:
        yield from inner_programs(words[2:])


def _rollout(command: Kubectl, declared: Declared) -> Iterator[str]:
    if command.things[:1] not in (["undo"], ["restart"], ["status"], ["history"]):
        yield "`rollout` is undo, restart, status or history"
        return
    if command.things[0] == "status" and "--timeout" not in command.flags:
        yield "`rollout status` waits for as long as it takes: give it a --timeout"
    yield from _things(command.things[1:], command, declared)


def _nothing(command: Kubectl, declared: Declared) -> Iterator[str]:
    yield from ()


def _node(command: Kubectl, declared: Declared) -> Iterator[str]:
    if len(command.things) > 1:
        yield f"`{command.verb}` of more than one node at once"


def _top(command: Kubectl, declared: Declared) -> Iterator[str]:
    yield from _things(command.things[:1], command, declared)


def _debug(command: Kubectl, declared: Declared) -> Iterator[str]:
    kind, _, node = command.things[0].partition("/") if command.things else ("", "", "")
    if kind != "node" or not node:
        yield "`debug` is of node/NODE"
    if list(command.inner[:2]) != ["chroot", "/host"]:
        yield "`debug` of a node runs `chroot /host …`: the image has none of the node's programs"


def _create(command: Kubectl, declared: Declared) -> Iterator[str]:
    source = command.flags.get("--from", "")
    kind, _, name = source.partition("/")
    if command.things[:1] != ["job"] or kind != "cronjob":
        yield "`create` is of a job `--from=cronjob/NAME`"
    elif not is_placeholder(name) and name not in declared.named("CronJob", command.namespace):
        yield f"there is no CronJob {name} in {command.namespace}"


def _named(command: Kubectl, declared: Declared) -> Iterator[str]:
    yield from _things(command.things, command, declared)


def _things(words: Sequence[str], command: Kubectl, declared: Declared) -> Iterator[str]:
    """`deployment NAME NAME`, `deployment/NAME statefulset/NAME`, `pods,events`."""
    if not words:
        yield f"`kubectl {command.verb}` of what?"
        return
    pairs: list[tuple[str, str | None]] = []
    if "/" in words[0]:
        pairs = [(each.partition("/")[0], each.partition("/")[2]) for each in words]
    else:
        pairs = [(kind, name) for kind in words[0].split(",") for name in (words[1:] or [None])]
    for word, name in pairs:
        kind = kind_of(word)
        if is_placeholder(word):
            continue
        if kind is None:
            yield f"there is no kind {word}; add it to tests/runbooks/declared.py if there is"
        else:
            yield from _thing(kind, name, command, declared)
    if "--selector" in command.flags:
        yield from _selector(command, declared, command.flags["--selector"])


def _thing(kind: str, name: str | None, command: Kubectl, declared: Declared) -> Iterator[str]:
    namespace = command.namespace
    everywhere = {"-A", "--all-namespaces"} & command.flags.keys()
    if kind not in CLUSTER_WIDE and namespace is None and not everywhere and command.verb != "get":
        yield f"`kubectl {command.verb}` without -n looks into the namespace `default`"
        return
    if kind not in CLUSTER_WIDE and (namespace is None or is_placeholder(namespace)):
        if namespace is None and not everywhere:
            yield f"`kubectl {command.verb} {kind}` without -n looks into the namespace `default`"
        return
    if kind == "Pod" and name and not is_placeholder(name):
        if declared.of_pod(namespace or "", name) is None:
            yield f"there is no pod {name} in {namespace}"
    elif kind in MADE_BY_THE_CLUSTER or kind == "Pod" or (name and is_placeholder(name)):
        return
    elif name and name not in declared.named(kind, namespace):
        yield f"there is no {kind} {name} in {namespace or 'the platform'}"
    elif not name and not declared.named(kind, namespace):
        yield f"there is no {kind} in {namespace or 'the platform'}"


def _selector(command: Kubectl, declared: Declared, selector: str) -> Iterator[str]:
    if command.namespace is None or is_placeholder(command.namespace):
        return
    for term in declared.values_of_none(command.namespace, selector):
        yield f"no pod in {command.namespace} has the label {term}"


CHECKS = {
    "exec": _exec,
    "logs": _pods,
    "port-forward": _pods,
    "rollout": _rollout,
    "cordon": _node,
    "uncordon": _node,
    "drain": _node,
    "debug": _debug,
    "top": _top,
    "create": _create,
    "auth": _nothing,
}

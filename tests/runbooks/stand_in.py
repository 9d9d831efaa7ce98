"""`kubectl` as the runbooks' commands find it: the real one, but for what needs a process in a pod.

A test double: pods are simulated. `exec`, `logs`, `port-forward` and `debug` ask the real API server whether what they
name is there, and then turn to the process on this machine that stands behind it, with the container's own paths, ports
and programs. What each command ended with is written down, since in a pipeline a shell would not say.

Only the standard library is imported: this starts some hundred times.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.runbooks.arguments import Kubectl, parse_kubectl

NAME = "app.kubernetes.io/name"
# Redis answers so and ends with 0 all the same; nothing else that is asked here begins a line so.
REFUSED = re.compile(r"^(?:NOPERM|NOAUTH|WRONGPASS|ERR |AUTH failed|Error:)", re.MULTILINE)
SIGPIPE = -13  # whoever read has seen enough, as `head` does
COMPARES = re.compile(r"[=!<>]=|[<>]")


class CommandError(Exception):
    """What is wrong with the command, as kubectl would say it."""


def main(words: Sequence[str], world: Mapping[str, Any]) -> int:
    """Runs the command; its exit status."""
    command = parse_kubectl(words)
    handle = {"exec": run, "logs": logs, "port-forward": forward, "debug": debug}.get(command.verb)
    if handle is None:
        done = subprocess.run([world["kubectl"], *words], stderr=subprocess.PIPE, check=False)
        return _ended(done.returncode, done.stderr)
    return handle(command, world)


def run(command: Kubectl, world: Mapping[str, Any]) -> int:
    """`exec`: the command, in the place of the container."""
    (pod,) = _pods(command, world)[:1]
    behind = _behind(pod, command.flags.get("--container"), world)
    words = [translated(each, behind, world["services"]) for each in command.inner]
    program = Path(behind["programs"]) / words[0]
    if not program.exists():
        raise CommandError(f'exec: "{words[0]}": executable file not found in $PATH')
    environment = {**behind["environment"], "PATH": behind["programs"]}
    done = subprocess.run([str(program), *words[1:]], env=environment, capture_output=True, check=False)
    sys.stdout.buffer.write(done.stdout)
    text = done.stdout.decode(errors="replace")
    if found := REFUSED.search(text):
        raise CommandError(f"it was refused: {text[found.start() :].splitlines()[0]}")
    if {"promtool", "query"} <= set(command.inner) and not text.strip() and not COMPARES.search(words[-1]):
        raise CommandError(f"Prometheus has nothing to answer to {words[-1]}")
    return _ended(done.returncode, done.stderr)


def _ended(code: int, complaint: bytes) -> int:
    """Passes on what a process said of itself. Raises with it if it failed."""
    text = complaint.decode(errors="replace").strip()
    if code not in {0, SIGPIPE}:
        raise CommandError(text or f"exit status {code}")
    if text:
        print(text, file=sys.stderr)
    return 0


def logs(command: Kubectl, world: Mapping[str, Any]) -> int:
    """`logs`: what the process has written, as much of it as is asked for."""
    tail = int(command.flags.get("--tail", 10 if "--selector" in command.flags else -1))
    since = command.flags.get("--since", "1h")
    if not re.fullmatch(r"\d+[smh]", since):
        raise CommandError(f"invalid argument {since!r} for --since")
    for pod in _pods(command, world):
        spec = pod["spec"]
        names = [each["name"] for each in spec["containers"]] if "--all-containers" in command.flags else [None]
        for name in names:
            behind = _behind(pod, name or command.flags.get("--container"), world)
            lines = Path(behind["log"]).read_text(errors="replace").splitlines()
            prefix = f"[pod/{pod['metadata']['name']}/{behind['container']}] " if "--prefix" in command.flags else ""
            for line in lines[-tail:] if tail > 0 else lines:
                print(f"{prefix}{line}")
    return 0


def forward(command: Kubectl, world: Mapping[str, Any]) -> int:
    """`port-forward`: whether somebody listens there; it would go on until it is ended."""
    (pod,) = _pods(command, world)[:1]
    for word in command.things[1:]:
        port = word.rpartition(":")[2]
        there = [_behind(pod, each["name"], world) for each in pod["spec"]["containers"]]
        ports = {declared: local for each in there for declared, local in each["ports"].items()}
        if port not in ports:
            raise CommandError(f"port {port} is none of this pod's: {', '.join(ports)}")
        socket.create_connection(("127.0.0.1", int(ports[port])), 5).close()
        print(f"Forwarding from 127.0.0.1:{port} -> {port}")
    return 0


def debug(command: Kubectl, world: Mapping[str, Any]) -> int:
    """`debug node/NODE … -- chroot /host …`: this machine is the node."""
    _get(command.things[0], command, world)
    if list(command.inner[:2]) != ["chroot", "/host"]:
        raise CommandError("the node's own programs are below /host")
    done = subprocess.run(command.inner[2:], stderr=subprocess.PIPE, check=False)
    return _ended(done.returncode, done.stderr)


def translated(text: str, behind: Mapping[str, Any], services: Mapping[str, Mapping[str, str]]) -> str:
    """A word of a command with the paths and ports of this machine, and the addresses of services.

    All at once, so that nothing is replaced twice.
    """
    asked = [name for name in services if re.search(_address(name), text)]
    ports = {**behind["ports"], **{port: local for name in asked for port, local in services[name].items()}}
    table = {**behind["paths"], **dict.fromkeys(asked, "127.0.0.1"), **ports}
    patterns = [
        *(rf"(?<![\w/.-]){re.escape(each)}(?![\w.-])" for each in sorted(behind["paths"], key=len, reverse=True)),
        *map(_address, asked),
        *(rf"(?<![\w./-]){each}(?!\w)" for each in ports),
    ]
    return re.sub("|".join(patterns), lambda found: table[found[0]], text) if patterns else text


def _address(name: str) -> str:
    """A name before a port: `https://name:1234`, `('name', 1234)`."""
    return rf"(?<![\w./-]){re.escape(name)}(?=['\"]?[:,] ?\d)"


def _pods(command: Kubectl, world: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The pods that the command is about; of a Deployment and the like the first."""
    selector = command.flags.get("--selector")
    if selector is not None:
        found = _get("pods", command, world, "-l", selector)["items"]
        if not found:
            raise CommandError(f"No resources found in {command.namespace} namespace.")
        return list(found)
    target = command.things[0]
    thing = _get(target if "/" in target else f"pod/{target}", command, world)
    if thing["kind"] == "Pod":
        return [thing]
    labels = thing["spec"]["selector"]["matchLabels"]
    chosen = ",".join(f"{key}={value}" for key, value in labels.items())
    return list(_get("pods", command, world, "-l", chosen)["items"][:1])


def _get(target: str, command: Kubectl, world: Mapping[str, Any], *more: str) -> dict[str, Any]:
    namespace = ["-n", command.namespace] if command.namespace else []
    words = [world["kubectl"], *namespace, "get", target, *more, "-o", "json"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CommandError(done.stderr.strip())
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _behind(pod: Mapping[str, Any], container: str | None, world: Mapping[str, Any]) -> dict[str, Any]:
    """The process behind a container; kubectl takes the first if none is named."""
    names = [each["name"] for each in (*pod["spec"]["containers"], *pod["spec"].get("initContainers", ()))]
    name = container or names[0]
    if name not in names:
        raise CommandError(f"container {name} is not valid for pod {pod['metadata']['name']}")
    key = f"{pod['metadata']['namespace']}/{pod['metadata']['labels'].get(NAME)}/{name}"
    if key not in world["containers"]:
        raise CommandError(f"nothing stands behind {key} here: start it in world.py, or make an exception")
    return {**world["containers"][key], "container": name}


def _written(command: Sequence[str], code: int, said: str) -> None:
    with Path(os.environ["RUNBOOKS_RECORD"]).open("a") as record:
        record.write(f"{json.dumps({'command': list(command), 'code': code, 'said': said})}\n")


def said_by(words: Sequence[str], world: Mapping[str, Any]) -> Iterator[int]:
    """Runs the command and writes down what came of it."""
    said = ""
    try:
        code = main(words, world)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read has seen enough
        code = 0
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (CommandError, OSError, ValueError) as error:
        code, said = 1, str(error)
        print(f"error: {error}", file=sys.stderr)
    _written(words, code, said)
    yield code


if __name__ == "__main__":
    sys.exit(next(said_by(sys.argv[1:], json.loads(Path(os.environ["RUNBOOKS_WORLD"]).read_text()))))

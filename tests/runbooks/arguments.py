"""The words of a kubectl command, sorted: what it does, to what, how, and what it runs elsewhere.

Nothing but the standard library is imported here: the stand-in for kubectl starts some hundred times.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# Of these the value is the next word, unless it follows `=`.
WITH_VALUE = {
    "-n": "--namespace", "-l": "--selector", "-o": "--output", "-c": "--container", "-L": "--label-columns",
    "--namespace": "", "--selector": "", "--output": "", "--container": "", "--label-columns": "", "--tail": "",
    "--since": "", "--sort-by": "", "--field-selector": "", "--type": "", "--patch": "", "--timeout": "",
    "--replicas": "",
    "--from": "", "--as": "", "--image": "", "--raw": "", "--to-revision": "", "--for": "", "--grace-period": "",
    "--profile": "", "--max-log-requests": "",
}  # fmt: skip
WITHOUT_VALUE = {
    "-A", "--all-namespaces", "-i", "-t", "-it", "--previous", "--containers", "--all-containers", "--prefix",
    "--force", "--ignore-daemonsets", "--delete-emptydir-data", "--show-labels", "--no-headers", "--timestamps",
    "--ignore-not-found", "--overwrite",
}  # fmt: skip
ENDLESS = {"-w", "--watch", "-f", "--follow"}
CHANGING = {"scale", "delete", "cordon", "uncordon", "drain", "patch", "create", "annotate"}


@dataclass(frozen=True, kw_only=True)
class Kubectl:
    """One command: `things` are its other words, `inner` is what it runs elsewhere, `odd` what this does not know."""

    verb: str
    things: Sequence[str]
    flags: Mapping[str, str]
    inner: Sequence[str]
    odd: Sequence[str] = ()

    @property
    def namespace(self) -> str | None:
        """As given by `-n`."""
        return self.flags.get("--namespace")

    @property
    def changes(self) -> bool:
        """Whether the cluster is another one afterwards."""
        return self.verb in CHANGING or (self.verb == "rollout" and self.things[:1] not in (["status"], ["history"]))


def parse_kubectl(words: Sequence[str]) -> Kubectl:
    """`words` without `kubectl` itself."""
    things: list[str] = []
    flags: dict[str, str] = {}
    odd: list[str] = []
    inner: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        name, given, value = word.partition("=")
        if word == "--":
            inner, rest = rest, []
        elif word == "-p" and "patch" in things[:1]:
            flags["--patch"] = rest.pop(0) if rest else ""
        elif word == "-p" and "logs" in things[:1]:
            flags["--previous"] = ""
        elif word.startswith("-") and name in WITH_VALUE:
            flags[WITH_VALUE[name] or name] = value if given else (rest.pop(0) if rest else "")
        elif word.startswith("-") and len(word) > 1:
            flags[name] = value
            if name not in WITHOUT_VALUE | ENDLESS:
                odd.append(name)
        else:
            things.append(word)
    return Kubectl(verb=things[0] if things else "", things=things[1:], flags=flags, inner=inner, odd=odd)

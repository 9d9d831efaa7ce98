"""What a preview is compared with: the platform at another revision, or as it was last applied."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from infra.environments.preview.manifests import Manifest, Manifests, key
from infra.errors import UserError
from infra.settings import MASK

PROGRAM = "infra/environments/preview/dump.py"
EACH = "--each"  # of several stacks: an object with the manifests of each
# How Pulumi marks a secret inside a structure. Source: pulumi/pulumi, sdk/go/common/resource/sig.
_SIGNATURE = "4dabf18193072939515e22adb298388d"
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def of_revision(stack: str, revision: str, root: Path) -> Manifests:
    """What the program of a git revision declares for the stack."""
    with _checked_out(revision, root) as tree:
        manifests: Manifests = _run(tree, revision, stack)
        return manifests


@contextmanager
def of_revision_each(stacks: Sequence[str], revision: str, root: Path) -> Iterator[Future[dict[str, Manifests]]]:
    """The same of several stacks, while the block runs; nothing of one that the revision does not have."""
    # Checked out before a thread begins: beside a busy program each of its thousand files would wait for its turn.
    with _checked_out(revision, root) as tree, ThreadPoolExecutor(max_workers=1) as pool:
        known = [stack for stack in stacks if (tree / f"Pulumi.{stack}.yaml").exists()]

        def found() -> dict[str, Manifests]:
            declared = _run(tree, revision, EACH, *known) if known else {}
            return {stack: declared.get(stack, {}) for stack in stacks}

        yield pool.submit(found)


@contextmanager
def _checked_out(revision: str, root: Path) -> Iterator[Path]:
    commit = commit_of(revision, root)
    if commit is None:
        raise UserError(f"{revision}: neither a stack of this checkout nor a git revision: name one, or `state`")
    top = Path(_git(root, "rev-parse", "--show-toplevel") or root)
    if _git(top, "cat-file", "-e", f"{commit}:{PROGRAM}") is None:
        raise UserError(f"{revision}: that revision cannot be previewed: it has no {PROGRAM}")
    with TemporaryDirectory(prefix="preview-") as folder:
        archive, tree = Path(folder) / "archive.tar", Path(folder) / "tree"
        tree.mkdir()
        _git(top, "archive", "--format=tar", f"--output={archive}", commit)
        with tarfile.open(archive) as tar:
            tar.extractall(tree, filter="data")
        yield tree


def commit_of(revision: str, root: Path) -> str | None:
    """The commit that a revision names, in the repository of this folder."""
    return _git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")


def _run(tree: Path, revision: str, *arguments: str) -> Any:
    module = PROGRAM.removesuffix(".py").replace("/", ".")
    environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    run = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=tree,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode:
        lines = run.stderr.strip().splitlines() or ["it failed without a word"]
        raise UserError(f"{revision}: the program of that revision fails: {lines[-1]}")
    return json.loads(run.stdout)


def of_state(stack: str, state_file: Path | None) -> Manifests:
    """What was last applied, from the file in which Pulumi keeps a stack's state."""
    missing = f"{stack}: never deployed from here: there is no state to compare with"
    if state_file is None or not state_file.is_file():
        raise UserError(f"{missing} ({state_file})" if state_file else missing)
    try:
        resources = (json.loads(state_file.read_bytes())["checkpoint"]["latest"] or {}).get("resources") or []
        deployed = [each for each in resources if _deployed(each)]
        found: Manifests = _by_our_names(dict(sorted(map(applied, deployed))), deployed)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"{state_file}: not a Pulumi state file: restore it from the backups beside it") from None
    if not resources:
        raise UserError(missing)
    return found


def _by_our_names(found: Any, deployed: list[dict[str, Any]]) -> Any:
    """What the cloud names by itself, such as a key, has its name in the stack, since a preview knows no other."""
    text = json.dumps(found)
    for each in deployed:
        if _UUID.fullmatch(each.get("id", "")) and each["type"].startswith("aws:"):
            text = text.replace(each["id"], each["urn"].rpartition("::")[2])
    return json.loads(text)


def _deployed(resource: dict[str, Any]) -> bool:
    kept = resource.get("custom", True) and not resource.get("delete") and not resource.get("external")
    return bool(kept and not resource["type"].startswith("pulumi:"))


def applied(resource: Mapping[str, Any]) -> tuple[str, Manifest]:
    """A resource of the state as a manifest, with its key."""
    inputs = {name: _masked(value) for name, value in resource.get("inputs", {}).items() if not name.startswith("__")}
    if resource["type"].startswith("kubernetes:") and "kind" in inputs:
        return key(inputs), inputs
    return f"{resource['type']} {resource['urn'].rpartition('::')[2]}", inputs


def _masked(value: Any) -> Any:
    match value:
        case dict() if _SIGNATURE in value:
            return MASK
        case dict():
            return {name: _masked(item) for name, item in value.items()}
        case list():
            return [_masked(item) for item in value]
        case _:
            return value


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        run = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise UserError("git: not found: install it, or compare with a stack") from None
    return None if run.returncode else run.stdout.strip()

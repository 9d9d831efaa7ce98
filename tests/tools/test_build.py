"""The build of the pinned tools: what it takes from PATH, when it builds anew, and what it says when it cannot."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

BUILD = Path(__file__).parents[2] / "tools" / "build.py"


@pytest.fixture
def build(tmp_path, monkeypatch):
    """The module, with an empty `.tools`."""
    specification = importlib.util.spec_from_file_location("tools_build", BUILD)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    monkeypatch.setitem(sys.modules, "tools_build", module)
    specification.loader.exec_module(module)
    monkeypatch.setattr(module, "TARGET", tmp_path / ".tools")
    return module


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Puts a program on an otherwise empty PATH that prints the text given."""
    folder = tmp_path / "path"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def make(name: str, text: str, status: int = 0) -> Path:
        file = folder / name
        file.write_text(f"#!/bin/sh\n/bin/cat <<'END' >&2\n{text}\nEND\nexit {status}\n")
        file.chmod(0o755)
        return file

    return make


def tool(build, name: str):
    return next(each for each in build.tools() if each.name == name)


def test_the_python_packages_are_those_of_the_pinned_engine_and_provider(build):
    assert importlib.metadata.version("pulumi") == tool(build, "pulumi").version
    assert importlib.metadata.version("pulumi-kubernetes") == tool(build, "pulumi-resource-kubernetes").version


def test_all_kubernetes_modules_are_of_one_release(build):
    lines = (BUILD.parent / "go.mod").read_text().splitlines()
    staging = {line.split(" v")[-1] for line in lines if line.startswith("\tk8s.io/") and "=>" in line}
    assert staging == {"0" + tool(build, "kube-apiserver").version.removeprefix("1")}


def test_each_tool_is_required_by_the_module_that_it_is_built_in(build):
    for each in build.tools():
        assert each.module.is_relative_to(BUILD.parent)
        wanted = each.package.removeprefix("./").partition("/cmd/")[0]
        pinned = build.pinned_versions((each.module / "go.mod").read_text())
        assert each.package.startswith("./") or wanted.startswith(tuple(pinned))


def test_the_go_that_is_asked_for_is_the_one_that_the_modules_need(build):
    for module in {each.module for each in build.tools()}:
        text = (module / "go.mod").read_text()
        assert re.findall(r"^go (\d+\.\d+)", text, flags=re.MULTILINE) == [".".join(map(str, build.GO_MINIMUM))]
        assert "\ntoolchain" not in text


@pytest.mark.parametrize(("module", "release"), [("0.305.1", "3.5.1"), ("0.313.0", "3.13.0"), ("0.28.1", "0.28.1")])
def test_prometheus_is_named_by_its_release(build, module, release):
    assert build.release(module) == release


def test_each_tool_carries_its_pinned_version(build):
    assert [each.name for each in build.tools() if not any(flag.endswith(each.version) for flag in each.flags)] == [
        "etcd",  # has its own in its source
        "filebeat",  # likewise
        "elasticsearch-schema",  # ours; its version is that of the types in it
        "logstash-lint",  # likewise
    ]


def test_what_kubernetes_libraries_parse_as_a_version_begins_with_a_v(build):
    flags = [flag for each in build.tools() for flag in each.flags if ".gitVersion=" in flag]
    assert flags
    assert [flag for flag in flags if ".gitVersion=v" not in flag] == []


@pytest.mark.parametrize(
    ("name", "text", "taken"),
    [
        ("etcd", "etcd Version: {version}", True),
        ("etcd", "etcd Version: {version}1", False),
        ("etcd", "etcd Version: 1{version}", False),
        ("kubectl", "Client Version: v1.33.99", True),
        ("kubectl", "Client Version: v1.31.4", False),
        ("pulumi", "v{version}", True),
        ("pulumi", "v3.0.0", False),
        ("promtool", "promtool, version {version} (branch: HEAD)", True),
        ("promtool", "promtool, version 2.42.0\n  go version: go{version}", False),
        ("redis_exporter", "Redis Metrics Exporter {version}    build date", True),
        ("prometheus-adapter", "{version}", False),
    ],
)
def test_a_tool_on_path_is_taken_at_the_pinned_version_only(build, program, name, text, taken):
    wanted = tool(build, name)
    file = program(name, text.format(version=wanted.version))
    assert build.installed(wanted) == (file if taken else None)


def test_a_tool_on_path_is_linked_and_said_so(build, program, monkeypatch):
    monkeypatch.setattr(build, "tools", lambda: [build.Tool(**ETCD)])
    file = program("etcd", "etcd Version: 3.6.4")
    (build.TARGET / "bin").mkdir(parents=True)
    assert build.build_all() == {"etcd": f"on PATH: {file}"}
    assert (build.TARGET / "bin" / "etcd").resolve() == file


ETCD = {"name": "etcd", "package": "./cmd/etcd", "version": "3.6.4", "version_command": ("--version",)}


def test_nothing_is_built_twice_until_its_pins_change(build, monkeypatch):
    built: list[str] = []
    one = build.Tool(**ETCD)
    monkeypatch.setattr(build, "tools", lambda: [one])
    monkeypatch.setattr(build, "installed", lambda tool: None)
    monkeypatch.setattr(build, "go_command", lambda: "go")
    monkeypatch.setattr(build, "check_disk", lambda go: None)

    def compile_tool(go, tool, progress):
        built.append(tool.name)
        (build.TARGET / "bin").mkdir(parents=True, exist_ok=True)
        (build.TARGET / "bin" / tool.name).touch()

    monkeypatch.setattr(build, "compile_tool", compile_tool)
    build.TARGET.mkdir()
    build.build_all()
    assert build.build_all() == {"etcd": "up to date"}
    monkeypatch.setattr(build, "tools", lambda: [build.Tool(**ETCD, flags=("-X main.other=1",))])
    build.build_all()
    assert built == ["etcd", "etcd"]


def test_a_tool_is_built_anew_when_the_pins_of_its_own_module_change(build, tmp_path):
    files = {file: tmp_path / file for file in ("go.mod", "go.sum")}
    for file in files.values():
        file.write_text("one")
    mine, other = build.Tool(**ETCD, module=tmp_path), build.Tool(**ETCD)
    before = build.pins_digest(mine), build.pins_digest(other)
    files["go.sum"].write_text("two")
    assert build.pins_digest(mine) != before[0]
    assert build.pins_digest(other) == before[1]


def test_a_tool_is_built_in_its_module(build, program, tmp_path):
    go = program("go", "")
    go.write_text(f'#!/bin/sh\npwd > {tmp_path}/where\nwhile [ "$1" != -o ]; do shift; done\n: > "$2"\n')
    module = tmp_path / "module"
    module.mkdir()
    build.TARGET.mkdir()
    build.compile_tool(str(go), build.Tool(**ETCD, module=module), build.Progress(1))
    assert (tmp_path / "where").read_text().strip() == str(module)
    assert (build.TARGET / "bin" / "etcd").exists()


def test_without_go_one_line_says_what_to_install(build, program, monkeypatch, capsys):
    program("nothing", "")
    monkeypatch.setattr(sys, "argv", ["build.py"])
    assert build.main() == 1
    assert capsys.readouterr().err == (
        "tools: Go 1.24 or newer is needed to build the tools, and there is no `go` on PATH: install Go\n"
    )


def test_an_old_go_is_refused(build, program):
    program("go", "")
    with pytest.raises(build.BuildError, match=r"Go 1\.24 or newer is needed .*: upgrade it"):
        build.go_command()


def test_a_full_disk_is_said_before_a_build_starts(build, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: _Usage())
    go = shutil.which("go")
    assert go
    with pytest.raises(build.BuildError, match="1.0 GiB free, a build from nothing needs"):
        build.check_disk(go)


class _Usage:
    free = 2**30


def test_a_disk_that_fills_up_while_building_is_one_line_and_leaves_no_binary(build, program):
    go = program("go", "compile: writing output: write /cache/x: no space left on device", status=1)
    build.TARGET.mkdir()
    with pytest.raises(build.BuildError, match="etcd: .*no space left on device: free some space and run again"):
        build.compile_tool(str(go), build.Tool(**ETCD), build.Progress(1))
    assert not (build.TARGET / "bin").exists()


def test_a_failed_build_shows_what_go_said(build, program):
    go = program("go", "cmd/etcd/main.go:4:2: no required module provides package x", status=1)
    build.TARGET.mkdir()
    with pytest.raises(build.BuildError, match="no required module provides package x"):
        build.compile_tool(str(go), build.Tool(**ETCD), build.Progress(1))


def test_a_second_build_waits_for_the_first(build):
    script = f"import sys; sys.path.insert(0, {str(BUILD.parent)!r}); import build, pathlib\n"
    script += f"build.TARGET = pathlib.Path({str(build.TARGET)!r})\n"
    script += "print('asked', flush=True)\nwith build.exclusive(): print('in')\n"
    with build.exclusive():
        other = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
        assert other.stdout is not None
        assert other.stdout.readline() == "asked\n"
        with pytest.raises(subprocess.TimeoutExpired):
            other.wait(0.3)
    assert other.communicate(timeout=20)[0] == "in\n"

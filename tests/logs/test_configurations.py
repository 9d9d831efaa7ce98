"""The files that Logstash, Filebeat and the containers' shells read, by the programs that can read them here."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from infra.components.logstash import component_file
from infra.environments.workspace import ROOT

LINT = ROOT / ".tools" / "bin" / "logstash-lint"
COMPONENTS = ROOT / "infra" / "components"
PIPELINES = ("logstash.conf", "logstash-rejected.conf")


def lint(path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([LINT, path], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", PIPELINES)
def test_a_pipeline_parses_as_logstash_reads_it(name):
    done = lint(COMPONENTS / name)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_pipeline_that_does_not_parse_is_noticed(tmp_path):
    broken = tmp_path / "broken.conf"
    broken.write_text(component_file("logstash.conf").replace("skip_on_invalid_json =>", "skip_on_invalid_json"))
    done = lint(broken)
    assert done.returncode == 1
    assert "broken.conf" in done.stderr


@pytest.mark.parametrize("name", ["elasticsearch-configure.sh", "logstash-configure.sh"])
def test_a_script_parses_as_bash_reads_it(name):
    assert subprocess.run(["bash", "-n", COMPONENTS / name], check=False).returncode == 0


def test_elasticsearchs_configuration_is_put_together(tmp_path):
    """The script itself, on folders like those of its image; keys go into a keystore that only the image can make."""
    home, given, login, tls = (tmp_path / name for name in ("home", "given", "login", "tls"))
    for folder in (home / "config", given, login, tls, tmp_path / "prepared"):
        folder.mkdir(parents=True)
    (home / "config" / "log4j2.properties").write_text("status = error\n")
    (home / "config" / "elasticsearch.yml").write_text("cluster.name: theirs\n")
    for name in ("elasticsearch.yml", "heap.options"):
        (given / name).write_text(f"our {name}\n")
    for name in ("users", "users_roles"):
        (login / name).write_text(f"our {name}\n")
    for name in ("tls.crt", "tls.key", "ca.crt"):
        (tls / name).write_text(f"our {name}\n")
    script = component_file("elasticsearch-configure.sh")
    script = script.replace("/prepared", str(tmp_path / "prepared")).replace("/run/secrets/tls", str(tls))
    variables = {
        "HOME_FOLDER": home,
        "GIVEN": given,
        "LOGIN": login,
        "KEYS": tmp_path / "none",
        "PATH": "/usr/bin:/bin",
    }
    subprocess.run(["bash", "-c", script], env={key: str(value) for key, value in variables.items()}, check=True)
    prepared = {
        str(path.relative_to(tmp_path / "prepared")): path.read_text()
        for path in (tmp_path / "prepared").rglob("*")
        if path.is_file()
    }
    assert prepared == {
        "log4j2.properties": "status = error\n",
        "elasticsearch.yml": "our elasticsearch.yml\n",
        "jvm.options.d/heap.options": "our heap.options\n",
        "users": "our users\n",
        "users_roles": "our users_roles\n",
        **{f"tls/{name}": f"our {name}\n" for name in ("tls.crt", "tls.key", "ca.crt")},
    }
    assert {path.stat().st_mode & 0o007 for path in (tmp_path / "prepared").rglob("*")} == {0}

"""What promtool itself says of the rules, and their tests."""

from __future__ import annotations

import pytest

from infra.monitoring.rules import SURVIVORS
from tests.promtool.promtool import ROOT, failures, promtool

RULES = sorted((ROOT / "rules").glob("*.yml"))
TESTS = sorted(path for path in (ROOT / "rules" / "tests").glob("*.yml") if path.name != SURVIVORS)


def name(path):
    return path.stem


def test_there_are_rules_and_each_file_has_tests():
    assert RULES
    assert [path.name for path in RULES] == [path.name for path in TESTS]


def test_promtool_finds_nothing_wrong():
    run = promtool("check", "rules", "--lint=all", "--lint-fatal", *RULES)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("path", TESTS, ids=name)
def test_the_rules_pass_their_tests(path):
    assert failures([path]) == {}


def test_promtool_does_find_what_is_wrong(tmp_path):
    rules, tests = tmp_path / "rules.yml", tmp_path / "tests.yml"
    rules.write_text("groups: [{name: a, rules: [{alert: Always, expr: vector(1)}, {alert: Always, expr: vector(2)}]}]")
    tests.write_text("rule_files: [rules.yml]\ntests: [{alert_rule_test: [{alertname: Always, eval_time: 1m}]}]")
    assert promtool("check", "rules", "--lint=all", "--lint-fatal", rules).returncode != 0
    assert "Always" in str(failures([tests]))


def test_without_promtool_nothing_passes(monkeypatch):
    monkeypatch.setattr("tests.promtool.promtool.PROMTOOL", ROOT / ".tools" / "nowhere")
    with pytest.raises(FileNotFoundError, match="run `make tools`"):
        failures([ROOT / "rules" / "tests" / "any.yml"])

"""The changes to a rule are those that we mean, and a change that no test notices is found (`make mutation`)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from infra.monitoring.rules import Rule
from tests.promtool import mutants
from tests.promtool.mutants import Score, Survivor, listed, run, unexplained
from tests.promtool.mutations import Mutation, mutations
from tests.promtool.suites import suites


def changes(expr, **others):
    rule = Rule(file="rules/x.yml", line=1, group="x", kind="alert", name="X", expr=expr, **others)
    return {each.change: each.rule.expr for each in mutations(rule)}


@pytest.mark.parametrize(
    ("expr", "change", "becomes"),
    [
        ("a_seconds > 0.5", "> 0.5: 0.5 -> 0.55", "a_seconds > 0.55"),
        ("a_seconds > 0.5", "> 0.5: 0.5 -> 0.45", "a_seconds > 0.45"),
        ("a_seconds > 0.5", "> 0.5: > -> <", "a_seconds < 0.5"),
        ("a_seconds > 26 * 3600", "> 26: 26 -> 28.6", "a_seconds > 28.6 * 3600"),
        ("a_seconds > 1e3", "> 1e3: 1e3 -> 900", "a_seconds > 900"),
        ("a > bool 0", "> 0: 0 -> 1", "a > bool 1"),
        ("a > 0", "> 0: > -> >=", "a >= 0"),
        ("changes(a[5m]) > 3", "> 3: 3 -> 2", "changes(a[5m]) > 2"),
        ("a >= b", ">= b: >= -> >", "a > b"),
        ("a == 1", "== 1: == -> !=", "a != 1"),
        ("a_bytes / b_bytes", "/ b_bytes: / -> *", "a_bytes * b_bytes"),
        ("a - on (x) b", "- b: - -> +", "a + on (x) b"),
        ("rate(a[5m])", "range: 5m -> 150s", "rate(a[150000ms])"),
        ("rate(a[5m])", "range: 5m -> 600s", "rate(a[600000ms])"),
        ("max_over_time(a[1h:1m])", "range: 1h -> 1800s", "max_over_time(a[1800000ms:1m])"),
        ("a offset 1h", "offset: 1h -> 7200s", "a offset 7200000ms"),
        ('a{x="1", y="2"}', 'a{x="1"} removed', 'a{y="2"}'),
        ('a{x="1", y="2"}', 'a{y="2"} removed', 'a{x="1"}'),
        ('a{x="1"}', 'a{x="1"}: = -> !=', 'a{x!="1"}'),
        ('a{x="1"}', 'a{x="1"} -> "1-other"', 'a{x="1-other"}'),
        ('a{x=~"1|2"}', 'a{x=~"1|2"} -> "2"', 'a{x=~"2"}'),
        ('a{x!~"1|2"}', 'a{x!~"1|2"}: !~ -> =~', 'a{x=~"1|2"}'),
        ("sum by (x, y) (a)", "by (x, y): x dropped", "sum by (y) (a)"),
        ("sum by (x, y) (a)", "by (x, y): y dropped", "sum by (x) (a)"),
        ("sum(a) without (x)", "without (x): x dropped", "sum(a) without ()"),
        ("a * on (x) group_left (y) b", "group_left (y): y dropped", "a * on (x) group_left () b"),
        ("sum by (x) (a)", "sum -> max", "max by (x) (a)"),
        ("count by (x) (a == 0)", "count -> sum", "sum by (x) (a == 0)"),
        ("count by (x) (a == 1)", "count -> group", "group by (x) (a == 1)"),
        ("count by (x) (a_info)", "count -> group", "group by (x) (a_info)"),
        ("histogram_quantile(0.95, a)", "0.95 -> 0.9", "histogram_quantile(0.9, a)"),
        ("predict_linear(a[1h], 4 * 3600)", "4 *: 4 -> 8", "predict_linear(a[1h], 8 * 3600)"),
        ("a and b or c", "right of `or` dropped: c", "a and b "),
        ("a and on (x) b or c", "left of `and` dropped: a", "b or c"),
        ("a and on (x) b or c", "right of `and` dropped: b", "a  or c"),
        ("(a or b) unless c", "left of `or` dropped: a", "(b) unless c"),
        ("(a or b) unless c", "right of `unless` dropped: c", "(a or b) "),
    ],
)
def test_a_change_is_made(expr, change, becomes):
    assert changes(expr)[change] == becomes


@pytest.mark.parametrize(
    ("expr", "found"),
    [
        ("predict_linear(a_bytes[1h], 3600) < 0", "< 0: 0 -> 1"),  # nothing lies between
        ("a_seconds > 26 * 3600", "* 3600: 3600 -> 3960"),  # 26 is changed already
        ("a_seconds > 0.5", "> 0.5: > -> >="),  # only chance hits a measured value
        ("max(a)", "a -> b"),
        ('{x="1"}', '{x="1"} removed'),  # would not load
    ],
)
def test_a_change_that_no_test_could_notice_is_not_made(expr, found):
    assert found not in changes(expr)


def test_what_is_beside_the_expression_is_changed():
    found = changes("a", hold="2m", keep_firing_for="5m", labels={"severity": "critical", "priority": "P1"})
    assert set(found) == {
        "for: 2m -> 60s",
        "for: 2m -> 240s",
        "for: 2m removed",
        "keep_firing_for: 5m -> 150s",
        "keep_firing_for: 5m -> 600s",
        "keep_firing_for: 5m removed",
        "label severity: critical -> warning",
        "label priority: P1 -> P2",
    }


def test_two_changes_alike_have_different_names():
    assert {"> 0: > -> <", "> 0: > -> < (2)"} <= changes("a > 0 or b > 0").keys()


RULES = """\
groups:
  - name: x
    rules:
      - {record: "job:up:min", expr: "min by (job) (up)"}
      - {alert: Down, expr: "job:up:min < 1", for: 1m, labels: {severity: critical}}
"""
TESTS = """\
rule_files: [../x.yml]
evaluation_interval: 15s
tests:
  - name: "Down: firing"
    interval: 15s
    input_series:
      - {series: 'up{job="a", pod="1"}', values: 1x8 0x8}
      - {series: 'up{job="a", pod="2"}', values: 1x16}
    alert_rule_test:
      - {alertname: Down, eval_time: 3m}
      - {alertname: Down, eval_time: 3m15s, exp_alerts: [{exp_labels: {severity: critical, job: a}}]}
"""


@pytest.fixture
def repository(tmp_path):
    (tmp_path / "rules" / "tests").mkdir(parents=True)
    (tmp_path / "rules" / "x.yml").write_text(RULES)
    (tmp_path / "rules" / "tests" / "x.yml").write_text(TESTS)
    return tmp_path


def test_a_sharp_test_leaves_no_survivor(repository):
    (score,) = run(suites(repository))
    assert (score.file, score.survivors) == ("rules/x.yml", [])
    assert score.mutants == 9


def test_what_a_blunt_test_does_not_notice_survives(repository):
    blunt = TESTS.replace("      - {alertname: Down, eval_time: 3m}\n", "").replace("3m15s", "4m")
    (repository / "rules" / "tests" / "x.yml").write_text(blunt)
    (score,) = run(suites(repository))
    assert score.survivors == [
        Survivor(rule="Down", mutation="< 1: 1 -> 2"),
        Survivor(rule="Down", mutation="for: 1m -> 30s"),
        Survivor(rule="Down", mutation="for: 1m removed"),
    ]


def test_what_is_not_noticed_of_a_record_survives_too(repository):
    blunt = TESTS.replace("1x16", "1x8 0x8")
    (repository / "rules" / "tests" / "x.yml").write_text(blunt)
    (score,) = run(suites(repository))
    assert score.survivors == [Survivor(rule="job:up:min", mutation="min -> max")]


def test_an_expression_that_fails_is_noticed_and_the_others_are_judged_all_the_same(repository):
    ambiguous = RULES.replace("job:up:min < 1", "job:up:min * on (job, pod) up < 1")
    ambiguous = ambiguous.replace("min by (job)", "min by (job, pod)")
    (repository / "rules" / "x.yml").write_text(ambiguous)
    (repository / "rules" / "tests" / "x.yml").write_text(TESTS.replace("job: a}", "job: a, pod: '1'}"))
    (score,) = run(suites(repository))
    assert Survivor(rule="Down", mutation="on (job, pod): pod dropped") not in score.survivors
    assert score.mutants > len(score.survivors)


def test_what_is_not_changed_is_not_noticed_in_whichever_form(repository, monkeypatch):
    asked = '  - name: "job:up:min"\n    input_series: [{series: up, values: 1x8}]\n    promql_expr_test:\n'
    asked += '      - {expr: "round(job:up:min)", eval_time: 1m, exp_samples: [{labels: "{}", value: 1}]}\n'
    (repository / "rules" / "tests" / "x.yml").write_text(TESTS + asked)
    monkeypatch.setattr(mutants, "mutations", lambda rule, _: [Mutation(change="none", rule=replace(rule))])
    (suite,) = suites(repository)
    record, alert = mutants.mutants(suite)
    assert [mutants.form(record), mutants.form(alert)] == ["queries", "alerts"]
    assert [test.name for test in record.tests] == ["job:up:min", "Down: firing"]
    (score,) = run([suite])
    assert len(score.survivors) == score.mutants == 2


def test_a_record_is_tested_by_what_reads_it(repository):
    (suite,) = suites(repository)
    (first, *_) = mutants.mutants(suite)
    assert (first.identity, [test.name for test in first.tests]) == ("job:up:min", ["Down: firing"])


def test_rules_of_one_name_are_told_apart_by_their_labels(repository):
    again = "      - {alert: Down, expr: absent(up), for: 1m, labels: {severity: critical, cause: absent}}\n"
    (repository / "rules" / "x.yml").write_text(RULES + again)
    (suite,) = suites(repository)
    assert suite.identities() == ["job:up:min", "Down", "Down{cause=absent}"]


def test_a_test_that_fails_anyway_is_no_proof(repository):
    (repository / "rules" / "tests" / "x.yml").write_text(TESTS.replace("job: a}", "job: b}"))
    with pytest.raises(RuntimeError, match="Down: firing"):
        run(suites(repository))


def test_the_list_of_survivors_gives_reasons(repository):
    entry = '- rule: Down\n  mutation: "for: 1m -> 30s"\n  reason: because\n'
    (repository / mutants.LISTED).write_text(entry)
    assert listed(repository) == {Survivor(rule="Down", mutation="for: 1m -> 30s"): "because"}


def test_a_survivor_is_listed_with_a_reason_as_long_as_it_survives():
    kept, gone = Survivor(rule="Down", mutation="for: 1m -> 30s"), Survivor(rule="Down", mutation="for: 1m removed")
    scores = [Score(file="rules/x.yml", mutants=2, survivors=[kept])]
    assert unexplained(scores, {}, everything=True) == ["Down: for: 1m -> 30s: survives"]
    assert unexplained(scores, {kept: "because"}, everything=True) == []
    assert "give a reason" in unexplained(scores, {kept: ""}, everything=True)[0]
    both = {kept: "because", gone: "because"}
    assert "survives no more: take it off" in unexplained(scores, both, everything=True)[0]
    assert unexplained(scores, both, everything=False) == []  # it may be another file's

"""What `mcenv sizing logs` computes."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from infra.environments.cli import app
from infra.environments.sizing import Load, sizing
from infra.quantities import Memory
from tests.conftest import settings_of

LOAD = {"rate": 100, "line": 400, "retention": 30, "outage": 1, "nodes": 3, "shippers": 3, "replicas": 2}


def sized(**changes):
    return sizing(Load(**(LOAD | changes)))


def test_the_formula_by_hand():
    # 100 x 400 x 86,400 x 30 days x 0.75 x 2 copies / 0.75 / 3 nodes = 64.4 GiB
    assert sized().elasticsearch_storage == Memory("65Gi")
    # 100 x 400 x 3,600 x 10 hours x 1.8 / 2 replicas / 0.7 = 1.7 GiB
    assert sized(outage=10).logstash_storage == Memory("2Gi")
    # 50 MiB at 100 x 400 / 3 bytes a second
    assert sized().kept_by_node == 3932


@pytest.mark.parametrize("name", ["rate", "line", "retention"])
def test_ten_times_of_what_is_logged_needs_ten_times_the_disk(name):
    once, tenfold = sized().elasticsearch_storage.bytes, sized(**{name: LOAD[name] * 10}).elasticsearch_storage.bytes
    assert 9.5 <= tenfold / once <= 10.5


def test_one_node_has_no_second_copy():
    # 100 x 400 x 86,400 x 30 days x 0.75 / 0.75 = 96.6 GiB
    assert sized(nodes=1).elasticsearch_storage == Memory("97Gi")


def test_memory_follows_the_disk_but_is_never_too_little_to_start():
    assert sized(retention=1).elasticsearch_memory == Memory("2Gi")
    assert sized(rate=1000).elasticsearch_memory == Memory("22Gi")


def test_the_volumes_of_prod_are_enough_for_the_traffic_it_scales_to():
    """20 pods of 100 requests a second would be 2,000: the default is for a tenth of that, on average over a month."""
    settings = settings_of("prod").logging
    needed = sized(rate=200, retention=settings.retention.app, nodes=settings.elasticsearch.replicas)
    assert needed.elasticsearch_storage.bytes <= settings.elasticsearch.storage.size.bytes
    assert needed.elasticsearch_memory.bytes <= settings.elasticsearch.resources.memory_limit.bytes
    assert needed.logstash_storage.bytes <= settings.logstash.storage.size.bytes


def test_the_command_says_it_to_people_and_programs():
    arguments = ["sizing", "logs", "--rate", "100", "--retention", "30"]
    text = CliRunner().invoke(app, arguments)
    assert (text.exit_code, "logging.elasticsearch.storage.size: 65Gi" in text.output) == (0, True)
    printed = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).output)
    assert printed["settings"]["logging.elasticsearch.storage.size"] == "65Gi"


def test_a_load_that_is_none_is_refused():
    answer = CliRunner().invoke(app, ["sizing", "logs", "--rate", "0", "--retention", "30"])
    assert answer.exit_code == 2
    assert "--rate" in answer.output

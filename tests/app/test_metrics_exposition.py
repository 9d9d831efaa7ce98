"""Several workers are one target: real processes, and what a scrape sees of them."""

import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as text

from modelcard_generator.monitoring import metrics
from modelcard_generator.monitoring.exposition import expose
from tests.app.servers import eventually

WORKER = """
    import sys
    from modelcard_generator.monitoring import metrics

    hits, connections = map(int, sys.argv[1:])
    metrics.cache_requests_total.labels(result="hit").inc(hits)
    metrics.http_request_duration.labels(method="GET", endpoint="/cards").observe(hits)
    metrics.database_pool_size.inc(connections)
    metrics.active_users.set(hits)
    print("counted", flush=True)
    sys.stdin.read()
"""


class Worker:
    """A process that counts `hits` and holds `connections` until it is told to go."""

    def __init__(self, directory, hits, connections, *, before=""):
        self.process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(before) + textwrap.dedent(WORKER), str(hits), str(connections)],
            env=os.environ | {metrics.MULTIPROCESS_DIR: str(directory)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.pid = self.process.pid

    def counted(self):
        assert self.process.stdout.readline() == b"counted\n"
        return self

    def kill(self):
        self.process.kill()
        self.process.wait()

    def close(self):
        self.kill()
        self.process.stdin.close()
        self.process.stdout.close()


@pytest.fixture
def directory(tmp_path, monkeypatch):
    monkeypatch.setenv(metrics.MULTIPROCESS_DIR, str(tmp_path))
    return tmp_path


@pytest.fixture
def start(directory):
    workers = []

    def start(hits, connections, **options):
        workers.append(Worker(directory, hits, connections, **options))
        return workers[-1]

    yield start
    for worker in workers:
        worker.close()


def scraped(name):
    """The values of all samples of this name."""
    body, _ = expose()
    return [each.value for family in text(body.decode()) for each in family.samples if each.name == name]


HITS = "modelcard_cache_requests_total"
CONNECTIONS = "modelcard_database_pool_size"


def test_workers_add_up_and_a_killed_one_leaves_its_counters_only(start):
    first, second = start(3, 4), start(5, 4)
    first.counted(), second.counted()
    assert (scraped(HITS), scraped(CONNECTIONS), scraped("http_request_duration_seconds_sum")) == ([8], [8], [8])
    first.kill()
    assert (scraped(HITS), scraped(CONNECTIONS), scraped("http_request_duration_seconds_sum")) == ([8], [4], [8])
    start(1, 4).counted()
    assert (scraped(HITS), scraped(CONNECTIONS)) == ([9], [8])


def test_a_killed_worker_that_nobody_has_buried_is_dead(start):
    start(1, 4).counted().process.kill()  # without wait(): a zombie, whose pid exists
    eventually(lambda: scraped(CONNECTIONS) == [], within=5)


def test_a_stranger_with_the_pid_of_a_dead_worker_does_not_pass_for_it(directory, start):
    worker = start(1, 4).counted()
    worker.kill()
    stranger = os.getppid()
    inherited = (directory / f"gauge_livesum_{worker.pid}.db").rename(directory / f"gauge_livesum_{stranger}.db")
    os.utime(inherited, (1, 1))
    assert (scraped(HITS), scraped(CONNECTIONS)) == ([1], [])


def test_a_file_that_is_not_mapped_yet_is_left_to_its_worker(directory, start):
    worker = start(1, 4).counted()
    worker.kill()
    beginning = directory / f"gauge_livesum_{os.getppid()}.db"
    shutil.copyfile(directory / f"gauge_livesum_{worker.pid}.db", beginning)
    expose()
    assert beginning.exists()


def test_a_worker_with_the_pid_of_a_dead_one_begins_afresh(directory, start):
    worker = start(1, 4).counted()
    worker.kill()
    left = directory / f"gauge_livesum_{worker.pid}.db"
    heir = (
        f"import os, shutil; shutil.copyfile({str(left)!r}, {str(directory)!r} + f'/gauge_livesum_{{os.getpid()}}.db')"
    )
    start(1, 2, before=heir).counted()
    assert scraped(CONNECTIONS) == [2]


def test_a_worker_that_begins_does_not_break_a_scrape(directory, start):
    start(1, 4).counted()
    (directory / "counter_1.db").touch()  # opened, and not yet given its size
    assert scraped(HITS) == [1]


def test_the_latest_of_all_workers_knows_how_many_users_are_active(start):
    start(3, 4).counted()
    start(2, 4).counted()
    assert scraped("modelcard_active_users") == [2]


def test_one_process_exposes_its_own_metrics(monkeypatch):
    monkeypatch.delenv(metrics.MULTIPROCESS_DIR, raising=False)
    metrics.build_info.labels(version="exposed").set(1)
    body, content_type = expose()
    assert (b'modelcard_build_info{version="exposed"} 1.0\n' in body, content_type) == (
        True,
        "text/plain; version=0.0.4; charset=utf-8",
    )


@pytest.mark.parametrize("several", [True, False])
def test_who_asks_for_openmetrics_gets_it(several, start, monkeypatch):
    start(1, 4).counted()
    if not several:
        monkeypatch.delenv(metrics.MULTIPROCESS_DIR)
    body, content_type = expose("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5")
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    assert "modelcard_cache_requests" in {family.name for family in openmetrics(body.decode())}


PARENT = """
    import multiprocessing, os, sys
    from modelcard_generator.monitoring.exposition import expose, prepare_directory

    def work():
        from modelcard_generator.monitoring import metrics
        metrics.cache_requests_total.labels(result="hit").inc(3)

    if __name__ == "__main__":
        directory = prepare_directory()
        workers = [multiprocessing.get_context("spawn").Process(target=work) for _ in range(2)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        if os.fork() == 0:
            sys.exit(0)  # runs what its parent does at exit
        os.wait()
        print(directory, directory.is_dir(), expose()[0].decode())
"""


def test_the_parent_makes_a_folder_for_its_workers_and_takes_it_along(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(textwrap.dedent(PARENT))
    environment = {name: each for name, each in os.environ.items() if name != metrics.MULTIPROCESS_DIR}
    environment["TMPDIR"] = str(tmp_path)
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, check=True)
    directory, existed = done.stdout.split()[:2]
    assert (existed, re.findall(rf'^{HITS}{{result="hit"}} (.*)$', done.stdout, re.MULTILINE)) == ("True", ["6.0"])
    assert (Path(directory).parent, Path(directory).exists()) == (tmp_path, False)

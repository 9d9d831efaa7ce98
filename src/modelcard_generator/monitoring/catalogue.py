"""The table of all metrics, generated from `CATALOGUE` and committed, for those who write queries and alerts.

`python -m modelcard_generator.monitoring.catalogue` writes it; with `--check` it only says whether the committed one is
up to date.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path

from prometheus_client import Gauge, Histogram, Metric
from prometheus_client.metrics import MetricWrapperBase

from modelcard_generator.monitoring.metrics import CATALOGUE

FILE = Path(__file__).parents[3] / "docs" / "metrics.md"
COMMAND = "python -m modelcard_generator.monitoring.catalogue"
# How the values of several workers become one (prometheus_client documentation, "Multiprocess Mode").
OVER_WORKERS = {"livesum": "sum over the live workers", "mostrecent": "the latest of all workers"}

HEADINGS = ("Name", "Type", "Labels", "Unit", "Meaning")
HEAD = f"""# Metrics

What `/metrics` of the application exposes, over all workers of a pod. Written from
`src/modelcard_generator/monitoring/metrics.py` by `{COMMAND}`.

Counters and histograms start at 0 when a pod does and never go down while it lives, also when one of its workers is
replaced. `endpoint` is the template of a route (`/cards/{{card_id}}`), or `unmatched`; `method` is one of HTTP's, or
`OTHER`, also if the route does not take it; `status` of a request is 499 if the client left before it was answered,
`status` of a card is `success`, `error`, or `cancelled` if the client left or its time was up. Series that are known
beforehand are exposed as 0.

"""


def text() -> str:
    """The content of the committed file."""
    table = "".join(f"| {' | '.join(row)} |\n" for row in [HEADINGS, ("---",) * len(HEADINGS), *map(_row, CATALOGUE)])
    bounds = "".join(
        f"- `{name(metric)}`: {', '.join(f'{bound:g}' for bound in buckets(metric) if bound != math.inf)}\n"
        for metric in CATALOGUE
        if isinstance(metric, Histogram)
    )
    return f"{HEAD}{table}\n## Buckets\n\nUpper bounds, in the histogram's unit; the last is always `+Inf`.\n\n{bounds}"


def name(metric: MetricWrapperBase) -> str:
    """As it is exposed: prometheus_client keeps the name of a counter without its `_total`."""
    described = _described(metric)
    return f"{described.name}_total" if described.type == "counter" else described.name


def labels(metric: MetricWrapperBase) -> tuple[str, ...]:
    """The names of its labels."""
    return tuple(metric._labelnames)  # noqa: SLF001 - nothing public says it


def buckets(histogram: Histogram) -> tuple[float, ...]:
    """Its upper bounds."""
    return tuple(histogram._kwargs["buckets"])  # noqa: SLF001 - nothing public says it


def _row(metric: MetricWrapperBase) -> tuple[str, ...]:
    described = _described(metric)
    kind = described.type
    if isinstance(metric, Gauge):
        kind += f", {OVER_WORKERS[metric._multiprocess_mode]}"  # noqa: SLF001 - nothing public says it
    unit = "seconds" if described.name.endswith("_seconds") else "number"
    return f"`{name(metric)}`", kind, ", ".join(f"`{each}`" for each in labels(metric)), unit, described.documentation


def _described(metric: MetricWrapperBase) -> Metric:
    return next(iter(metric.describe()))


def main(arguments: list[str] | None = None) -> int:
    """Writes the file, or says whether it is stale."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the committed file is stale")
    if not parser.parse_args(arguments).check:
        FILE.write_text(text())
    elif not FILE.exists() or FILE.read_text() != text():
        print(f"docs/{FILE.name} is stale: run `{COMMAND}`", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Grafana's dashboards. A module declares each; `python -m dashboards` writes what Grafana reads.

One more dashboard is one more module with a `PAGE`, named in `service.PARTS`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from dashboards import service
from dashboards.page import text

FOLDER = Path(__file__).with_name("json")
PAGES = (service.PAGE, *service.PARTS)


def files() -> Mapping[str, str]:
    """What `dashboards/json` holds, by name."""
    return {f"{page.uid}.json": text(page, PAGES) for page in PAGES}


def queries() -> Iterator[tuple[str, str, str]]:
    """The uid of each dashboard, the title of each panel and its expressions, as Prometheus takes them.

    What a variable offers counts as a panel called `variable NAME`.
    """
    from dashboards.checks import Dashboard

    for file, content in files().items():
        yield from Dashboard.read(f"dashboards/json/{file}", content).queries()

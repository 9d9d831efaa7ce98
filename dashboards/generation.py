"""Generation: whether model cards are made, how fast, and what is wrong with the descriptions that people hand in."""

from __future__ import annotations

from grafana_foundation_sdk.models import units

from dashboards.page import Page, Row, Variable
from dashboards.panels import About, above, buckets, graph, stat

CARDS = 'modelcard_cards_generated_total{format=~"$format"}'
DURATIONS = 'modelcard_generation_duration_seconds_bucket{format=~"$format"}'
FAILED = 'job_format_status:modelcard_cards_generated:rate5m{format=~"$format", status="error"}'
P95 = 'job_format:modelcard_generation_duration_seconds:p95_rate5m{format=~"$format"}'
ALL = 'job_format_status:modelcard_cards_generated:rate5m{format=~"$format"}'

PAGE = Page(
    uid="generation",
    title="Generation",
    description="Model cards: how many, how fast, what fails.",
    health='up{job="modelcard-generator"}',
    variables=[Variable(label="format", metric="modelcard_cards_generated_total")],
    glance=[
        stat(
            "Cards per second",
            About(
                says="Model cards that were begun, over 5 minutes, in all formats.",
                normal="Above 0 in working hours.",
                otherwise="At 0 with users about, look at the requests on the service dashboard: do any arrive?",
            ),
            f"sum({ALL}) or vector(0)",
            unit=units.CountsPerSecond,
        ),
        stat(
            "Failed, worst format",
            About(
                says="Share of the cards of the last 5 minutes that could not be generated, in the format with the "
                "largest share.",
                normal="0%.",
                otherwise="See below which format it is, then the application's log for that template.",
                alerts=["GenerationFailures"],
            ),
            f"max({FAILED} / on (job, format) group_left () (sum by (job, format) ({ALL}) > 0)) or vector(0)",
            unit=units.PercentUnit,
            limits=above(0.05),
        ),
        stat(
            "p95, slowest format",
            About(
                says="95% of the cards are generated within this time, over 5 minutes, in the slowest format.",
                normal="Below 1 s.",
                otherwise="See below which format it is; compare with the CPU throttling on the Kubernetes dashboard.",
                alerts=["SlowGenerations"],
            ),
            f"max({P95} >= 0) or vector(0)",
            unit=units.Seconds,
            limits=above(5),
        ),
        stat(
            "Validation errors per second",
            About(
                says="Errors that validation finds in descriptions, over 5 minutes, in the section with the most.",
                normal="Below 0.2; a clumsy client makes more for a while.",
                otherwise="See below in which section; after a release, compare with the rules that it changed.",
                alerts=["ValidationErrorSpike"],
            ),
            "max(job_section:modelcard_validation_errors:rate5m) or vector(0)",
            unit=units.CountsPerSecond,
            limits=above(orange=0.2),
        ),
        stat(
            "Active users",
            About(
                says="People who used the service in the last 5 minutes. Each pod counts over all: the largest counts.",
                normal="Follows the time of day.",
                otherwise="A sudden 0 means that nobody gets through: look at the service and nginx dashboards.",
            ),
            "max(modelcard_active_users)",
            unit=units.Short,
        ),
    ],
    rows=[
        Row(
            "Cards",
            [
                [
                    graph(
                        "Cards by format",
                        About(
                            says="Cards per second that were begun.",
                            normal="Follows the requests.",
                            otherwise="One format that stops alone is broken or no longer asked for.",
                        ),
                        {"{{format}}": f"sum by (format) (rate({CARDS}[$__rate_interval]))"},
                        unit=units.CountsPerSecond,
                        stacked=True,
                    ),
                    graph(
                        "Cards by outcome",
                        About(
                            says="Cards per second by outcome. `cancelled`: the client left or the time was up.",
                            normal="Nearly all `success`.",
                            otherwise="`error`: the application's log. `cancelled`: people do not wait that long, see "
                            "how long it takes.",
                        ),
                        {"{{status}}": f"sum by (status) (rate({CARDS}[$__rate_interval]))"},
                        unit=units.CountsPerSecond,
                        stacked=True,
                    ),
                    graph(
                        "Failures by format",
                        About(
                            says="Share of the cards of the last 5 minutes that could not be generated.",
                            normal="0%.",
                            otherwise="Open the runbook; a template that a release changed is the first suspect.",
                            alerts=["GenerationFailures"],
                        ),
                        {"{{format}}": f"{FAILED} / on (job, format) group_left () sum by (job, format) ({ALL})"},
                        unit=units.PercentUnit,
                        limits=above(0.05),
                    ),
                ]
            ],
        ),
        Row(
            "Duration",
            [
                [
                    graph(
                        "p95 by format",
                        About(
                            says="95% of the cards are generated within this time, over 5 minutes.",
                            normal="Below 1 s.",
                            otherwise="All formats alike: CPU or database. One alone: its template or its input.",
                            alerts=["SlowGenerations"],
                        ),
                        {"{{format}}": P95},
                        unit=units.Seconds,
                        limits=above(5),
                    ),
                    graph(
                        "p50, p95 and p99",
                        About(
                            says="Within which time half, 95% and 99% of the cards are generated, in all formats.",
                            normal="Close together.",
                            otherwise="A p99 far from the rest is a few large descriptions; a p50 that rises is load.",
                        ),
                        {
                            f"p{percent}": f"histogram_quantile({percent / 100}, "
                            f"sum by (le) (rate({DURATIONS}[$__rate_interval])))"
                            for percent in (50, 95, 99)
                        },
                        unit=units.Seconds,
                    ),
                    buckets(
                        "Durations",
                        About(
                            says="How many cards took how long.",
                            normal="One dark band below 1 s.",
                            otherwise="A second band is a second kind of card: compare formats and templates.",
                        ),
                        f"sum by (le) (increase({DURATIONS}[$__rate_interval]))",
                        unit=units.Seconds,
                    ),
                ],
                [
                    graph(
                        "Mean duration by template",
                        About(
                            says="How long a card takes on average, by its template.",
                            normal="Alike for all templates.",
                            otherwise="One that is slow alone does too much: look at what it includes.",
                        ),
                        {
                            "{{template}}": "sum by (template) "
                            '(rate(modelcard_generation_duration_seconds_sum{format=~"$format"}[$__rate_interval])) '
                            "/ sum by (template) "
                            '(rate(modelcard_generation_duration_seconds_count{format=~"$format"}[$__rate_interval]))'
                        },
                        unit=units.Seconds,
                    ),
                    graph(
                        "Cards by template",
                        About(
                            says="Cards per second, by template.",
                            normal="As people choose.",
                            otherwise="A template that nobody gets any more may be missing from the image.",
                        ),
                        {"{{template}}": f"sum by (template) (rate({CARDS}[$__rate_interval]))"},
                        unit=units.CountsPerSecond,
                        stacked=True,
                    ),
                ],
            ],
        ),
        Row(
            "Validation",
            [
                [
                    graph(
                        "Errors by section",
                        About(
                            says="Errors per second that validation finds, by section, over 5 minutes.",
                            normal="Below 0.2, without steps.",
                            otherwise="A step in one section after a release: it refuses what it should accept.",
                            alerts=["ValidationErrorSpike"],
                        ),
                        {
                            "{{section}}": "sum by (section) (job_section:modelcard_validation_errors:rate5m)"
                            " or on () vector(0)"
                        },
                        unit=units.CountsPerSecond,
                        limits=above(orange=0.2),
                    ),
                    graph(
                        "Errors by type",
                        About(
                            says="Errors per second that validation finds, by their type.",
                            normal="A mixture.",
                            otherwise="One type that stands out tells what to correct, here or in a client.",
                        ),
                        {
                            "{{error_type}}": "sum by (error_type) "
                            "(rate(modelcard_validation_errors_total[$__rate_interval])) or on () vector(0)"
                        },
                        unit=units.CountsPerSecond,
                        stacked=True,
                    ),
                ]
            ],
        ),
    ],
)

"""A load test as a single HTML page that needs nothing but itself.

The template and its style lie in ``page_assets``; the page forbids itself to load or run anything
(Content-Security-Policy), and names no telephone number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from string import Template

from workers.dashboard.call_page.figures import Figure
from workers.dashboard.loadtest_page import plots, tables
from workers.dashboard.loadtest_page.head import facts, further, headline, standing
from workers.dashboard.loadtest_page.numbers import Crowd, waits
from workers.dashboard.loadtest_page.timelines import slowest_section
from workers.dashboard.loadtest_page.worker import worker_plot
from workers.dashboard.markup import Markup, element, escaped, joined
from workers.dashboard.shared_style import plot_style, shared_style
from workers.loadtest.measured import OwnSlip
from workers.loadtest.result import LoadResult, Verdict
from workers.loadtest.sums import sums_of
from workers.loadtest.validity import slipped
from workers.loadtest.worker_figures import figures_of


def render_load_page(
    result: LoadResult,
    verdicts: Sequence[Verdict],
    *,
    wavs: Mapping[int, str],
) -> str:
    """Render the page of a load test, to be written as UTF-8; under 1 MB for 5,000 calls.

    Where the callers' own pacing slipped it says by how much, and holds no figure.

    Args:
        result: The test.
        verdicts: What came of its promises.
        wavs: Path of a call's WAV relative to the page, by the call's number.
    """
    tone, word, detail = standing(result, verdicts)
    return Template(_asset("page.html")).substitute(
        style=shared_style() + plot_style() + _asset("page.css"),
        title=escaped(f"{result.plan.name}: {word.lower()}"),
        name=escaped(result.plan.name),
        tone=tone,
        word=word,
        detail=element("p", {"class": "detail"}, detail) if detail else "",
        facts=joined(
            *(
                element("div", None, element("dt", None, name), element("dd", None, value))
                for name, value in facts(result)
            )
        ),
        body="" if slipped(result) else _body(result, verdicts, wavs),
        own=_own(result),
    )


def _body(result: LoadResult, verdicts: Sequence[Verdict], wavs: Mapping[int, str]) -> Markup:
    crowd = Crowd(result.calls)
    answers = waits(result.calls, crowd)
    sums = sums_of(result.calls, figures_of(result.samples))
    return Markup(
        Template(_asset("body.html")).substitute(
            tiles=joined(*(_tile(figure) for figure in headline(result, sums))),
            promises=tables.promises_table(verdicts),
            waits=tables.delays_table(sums),
            figures=joined(*(_figure_row(figure) for figure in further(result, sums))),
            delays=plots.delays_plot(result, answers, crowd),
            thinning=_note(plots.thinning_note(answers)),
            load=plots.load_plot(result, answers),
            endings=plots.endings_plot(result),
            reasons=tables.reasons_table(result.calls),
            worker=worker_plot(
                result.samples,
                plots.time_axis(plots.until_s(result), result.kills_s),
                plots.killed_words(result),
            ),
            gaps=plots.gaps_plot(result),
            resets=plots.resets_plot(result),
            slowest=slowest_section(result.calls, wavs),
        )
    )


def _own(result: LoadResult) -> Markup:
    if not result.generators:
        own = _clockwork("The callers’ own clockwork", result.slip)
        return joined(own, "Delays are good to about that.")
    return joined(
        *(_clockwork(f"The clockwork of {one.name}", one.slip) for one in result.generators),
        "Delays are good to about the worst of that.",
    )


def _clockwork(whose: str, slip: OwnSlip) -> Markup:
    return escaped(
        f"{whose} was looked at {slip.frames:,} times: 99 of 100 of its ticks "
        f"of 20 ms came within {slip.p99_ms:.1f} ms, the latest {slip.worst_ms:.1f} ms late. "
    )


def _tile(figure: Figure) -> Markup:
    return element(
        "li",
        {"class": f"tile {figure.tone}"},
        element("span", {"class": "label"}, figure.label),
        element("strong", None, figure.value),
        element("span", {"class": "small"}, figure.note),
    )


def _figure_row(figure: Figure) -> Markup:
    return element(
        "tr",
        {"class": figure.tone},
        element("th", {"scope": "row"}, figure.label),
        element("td", {"class": "number"}, figure.value),
        element("td", {"class": "words muted"}, figure.note),
    )


def _note(text: str) -> Markup:
    return tables.note(text) if text else Markup("")


@cache
def _asset(name: str) -> str:
    return (resources.files("workers.dashboard.loadtest_page") / "page_assets" / name).read_text(
        encoding="utf-8"
    )

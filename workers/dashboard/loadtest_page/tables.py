"""The tables of a load test's page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from workers.dashboard.campaign_page.bars import meter
from workers.dashboard.loadtest_page.numbers import quantile
from workers.dashboard.loadtest_page.words import (
    ENDING_WORDS,
    METRIC_WORDS,
    ms,
    promise_words,
    promised,
)
from workers.dashboard.markup import Markup, element
from workers.loadtest.measured import CallMeasured, Ending
from workers.loadtest.plan import Metric
from workers.loadtest.result import Verdict

_KEPT = {True: ("good", "kept"), False: ("bad", "broken"), None: ("odd", "not measured")}
_MOST_REASONS = 12
_NUMBERS = frozenset({"Found", "At most", "Values", "p50", "p95", "p99", "Longest", "Calls"})


def promises_table(verdicts: Sequence[Verdict]) -> Markup:
    """What was promised, what was found, and whether it was kept; the broken ones first."""
    if not verdicts:
        return note("Nothing was promised.")
    order = [False, None, True]
    rows = [_promise_row(one) for one in sorted(verdicts, key=lambda one: order.index(one.kept))]
    return table("promises", ("Promise", "", "Found", "At most", "Verdict"), rows)


def delays_table(calls: Sequence[CallMeasured]) -> Markup:
    """Percentiles of everything that callers waited for."""
    rows = []
    for metric, values in values_of(calls).items():
        cells = ["0", "–", "–", "–", "–"]
        if values:
            shares = (0.5, 0.95, 0.99)
            cells = [f"{len(values):,}", *(ms(quantile(values, share)) for share in shares)]
            cells.append(ms(max(values)))
        rows.append(
            element(
                "tr",
                None,
                element("th", {"scope": "row"}, METRIC_WORDS[metric]),
                *(element("td", {"class": "number"}, cell) for cell in cells),
            )
        )
    return table("delays", ("", "Values", "p50", "p95", "p99", "Longest"), rows)


def values_of(calls: Sequence[CallMeasured]) -> dict[Metric, list[float]]:
    """All values of each metric that has many, in ms."""
    answers = [one for call in calls for one in call.answers]
    return {
        Metric.FIRST_WORD_MS: [
            call.first_word_ms for call in calls if call.first_word_ms is not None
        ],
        Metric.ANSWER_DELAY_MS: [one.delay_ms for one in answers],
        Metric.ADDED_DELAY_MS: [
            one.delay_ms - one.model_ms for one in answers if one.model_ms is not None
        ],
        Metric.BARGE_IN_MS: [one.stop_ms for call in calls for one in call.barge_ins],
        Metric.GAP_MS: [one.ms for call in calls for one in call.gaps],
        Metric.RESET_GAP_MS: [one for call in calls for one in call.reset_gaps_ms],
    }


def reasons_table(calls: Sequence[CallMeasured]) -> Markup:
    """Why calls were refused or dropped, the commonest first; nothing where none was."""
    counts = Counter(
        (call.ending, call.reason)
        for call in calls
        if call.ending in {Ending.REFUSED, Ending.DROPPED}
    )
    if not counts:
        return Markup("")
    commonest = counts.most_common(_MOST_REASONS)
    rows = [
        _reason_row(ENDING_WORDS[ending], reason or "no reason was given", count)
        for (ending, reason), count in commonest
    ]
    rest = counts.total() - sum(count for _, count in commonest)
    if rest:
        rows.append(_reason_row("", "Other reasons", rest))
    return table("reasons", ("Ending", "Why", "Calls"), rows)


def note(text: str) -> Markup:
    """What stands in place of a picture of nothing."""
    return element("p", {"class": "note"}, text)


def table(kind: str, heads: Sequence[str], rows: Iterable[Markup]) -> Markup:
    """A table with its heads."""
    cells = [
        element("th", {"scope": "col", "class": "number" if head in _NUMBERS else ""}, head)
        for head in heads
    ]
    return element(
        "table",
        {"class": kind},
        element("thead", None, element("tr", None, *cells)),
        element("tbody", None, *rows),
    )


def data_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Markup:
    """The numbers of a plot, to be unfolded below it."""
    lines = [
        element(
            "tr",
            None,
            element("th", {"scope": "row"}, row[0]),
            *(element("td", None, cell) for cell in row[1:]),
        )
        for row in rows
    ]
    return element(
        "details",
        None,
        element("summary", None, "As a table"),
        element("div", {"class": "box"}, table("data", heads, lines)),
    )


def _promise_row(one: Verdict) -> Markup:
    tone, words = _KEPT[one.kept]
    promise = one.promise
    found = "–" if one.found is None else promised(promise, one.found)
    # A limit of nothing has no middle to stand in.
    drawn = one.found is not None and promise.limit > 0
    bar = meter(_share(one), tone, limit=promise.limit) if drawn else Markup("")
    return element(
        "tr",
        {"class": tone},
        element("th", {"scope": "row"}, promise_words(promise)),
        element("td", {"class": "wide"}, bar),
        element("td", {"class": "number"}, found),
        element("td", {"class": "number muted"}, promised(promise, promise.limit)),
        element("td", {"class": "verdict"}, words),
    )


def _share(one: Verdict) -> float:
    return max(one.found or 0.0, 0.0)


def _reason_row(ending: str, reason: str, count: int) -> Markup:
    return element(
        "tr",
        None,
        element("th", {"scope": "row"}, ending),
        element("td", {"class": "words"}, reason),
        element("td", {"class": "number"}, f"{count:,}"),
    )

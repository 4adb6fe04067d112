"""The tables of a load test's page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from workers.dashboard.bars import meter
from workers.dashboard.loadtest_page.words import (
    ENDING_WORDS,
    METRIC_WORDS,
    ms,
    promise_words,
    promised,
)
from workers.dashboard.markup import Markup, element
from workers.loadtest.measured import CallMeasured, Ending
from workers.loadtest.plan import Statistic
from workers.loadtest.result import Verdict
from workers.loadtest.sums import DELAYS, Sums

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


def delays_table(sums: Sums) -> Markup:
    """Percentiles of everything that callers waited for."""
    return table(
        "delays",
        ("", "Values", "p50", "p95", "p99", "Longest"),
        [
            element(
                "tr",
                None,
                element("th", {"scope": "row"}, METRIC_WORDS[metric]),
                element("td", {"class": "number"}, f"{sums.delays[metric].count:,}"),
                *(
                    element("td", {"class": "number"}, "–" if value is None else ms(value))
                    for value in (sums.value(metric, statistic) for statistic in Statistic)
                ),
            )
            for metric in DELAYS
        ],
    )


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

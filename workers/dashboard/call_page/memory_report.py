"""What the agent remembers of a call, and the work done for it: lanes, a section, a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from agent.conversation.record import (
    CallRecord,
    FactRecord,
    SummaryMade,
    SummaryRecord,
    UpdateRecord,
)
from workers.dashboard.call_page.axis import Axis, Lane, Mark, packed
from workers.dashboard.call_page.transcript_table import boxed, time_cell
from workers.dashboard.markup import Markup, element
from workers.dashboard.memory import (
    LISTS,
    covered_words,
    made_tone,
    made_words,
    summary_parts,
    turns_words,
    update_delay,
    update_words,
)
from workers.dashboard.story import at, long

_HEADINGS = (
    ("At", "When it began"),
    ("What", ""),
    ("Outcome", "What became of it; for something told, by which way"),
    ("Turns", "Folded into the summary, or meant to be"),
    ("Took", "Until the summary was there, or the model was told"),
    ("By", "The text model; extract: word for word, without a model"),
    ("Tokens", "Of the text model, prompt and answer"),
    ("Detail", ""),
)
_NUMBERS = (3, 4, 6)
_WAYS = {
    "system_content": "in the conversation",
    "context_update": "as new instruction",
    "next_move": "at a move",
}
# A table longer than this gets a box of its own to be scrolled in.
_MOST_ROWS = 12


def summaries_lane(made: Sequence[SummaryMade], axis: Axis) -> Lane | None:
    """Mark each attempt to summarise for as long as it took."""
    marks = [
        Mark(
            one.at_s,
            one.at_s + max(0.0, one.took_s),
            turns_words(one.turns) if one.outcome == "ok" else one.outcome,
            f"{at(one.at_s)}  {made_words(one)}, took {long(one.took_s)}, by {one.by}",
            one.outcome,
        )
        for one in made
    ]
    return packed("Summaries", "summaries", marks, axis)


def updates_lane(updates: Sequence[UpdateRecord], axis: Axis) -> Lane | None:
    """Mark what the model was told, from when it was wanted until it was done."""
    marks = [
        Mark(
            update.at_s,
            axis.until_s if update.done_s is None else max(update.at_s, update.done_s),
            f"{update.kind} · {update_delay(update) or 'waits'}",
            f"{at(update.at_s)}  {update_words(update)}",
            "waits" if update.done_s is None else "",
        )
        for update in updates
    ]
    return packed("Updates", "updates", marks, axis, inside=True)


def remembers_section(record: CallRecord) -> Markup:
    """The running summary and the pinned facts; nothing where there are none."""
    if record.summary is None and not record.facts:
        return Markup("")
    parts = []
    if record.summary is not None:
        parts.append(_summary(record.summary, record))
    if record.facts:
        parts.append(_facts(record.facts))
    return element(
        "section",
        {"class": "card remembers", "aria-labelledby": "remembers"},
        element("h2", {"id": "remembers"}, "What the agent remembers"),
        element("div", {"class": "memory"}, *parts),
    )


def _summary(summary: SummaryRecord, record: CallRecord) -> Markup:
    return element(
        "div",
        {"class": "summary-card"},
        element("h3", None, "Summary ", element("small", None, covered_words(summary, record))),
        element(
            "dl",
            None,
            *(
                element(
                    "div",
                    {"class": "part list" if name in LISTS else "part"},
                    element("dt", None, name),
                    *(element("dd", {"dir": "auto"}, line) for line in lines),
                )
                for name, lines in summary_parts(summary)
            ),
        ),
    )


def _facts(facts: Sequence[FactRecord]) -> Markup:
    rows = [
        element(
            "tr",
            None,
            element("th", {"scope": "row", "dir": "auto"}, fact.key),
            element("td", {"class": "words", "dir": "auto"}, fact.value),
            time_cell(fact.at_s),
        )
        for fact in facts
    ]
    return element(
        "div",
        {"class": "pinned"},
        element("h3", None, "Pinned facts ", element("small", None, "never cut")),
        element("table", {"class": "pins"}, element("tbody", None, *rows)),
    )


def work_section(record: CallRecord) -> Markup:
    """Table of summaries and updates in order; nothing where there were none."""
    context = record.context
    work = [(made.at_s, _made_row(made)) for made in context.summaries]
    work += [(update.at_s, _update_row(update)) for update in context.updates]
    if not work:
        return Markup("")
    rows = [row for _, row in sorted(work, key=lambda one: one[0])]
    headings = [
        element(
            "th",
            {"scope": "col", "title": title, "class": "number" if n in _NUMBERS else ""},
            name,
        )
        for n, (name, title) in enumerate(_HEADINGS)
    ]
    table = element(
        "table",
        {"class": "reports"},
        element("thead", None, element("tr", None, *headings)),
        element("tbody", None, *rows),
    )
    return element(
        "section",
        {"class": "card work-report", "aria-labelledby": "work"},
        element("h2", {"id": "work"}, "Summaries and updates"),
        element("p", {"class": "small"}, _counted(record)),
        boxed(table, "Summaries and updates", tall=len(rows) > _MOST_ROWS),
    )


def _counted(record: CallRecord) -> str:
    """Say first what a long table hides: how many there were, and what became of them."""
    context = record.context
    outcomes = Counter(made.outcome for made in context.summaries)
    made = outcomes.pop("ok", 0)
    parts = [f"{made} of {len(context.summaries)} summaries made"] if context.summaries else []
    parts += [f"{count} {outcome}" for outcome, count in sorted(outcomes.items())]
    waiting = sum(update.done_s is None for update in context.updates)
    if context.updates:
        parts.append(f"{len(context.updates) - waiting} of {len(context.updates)} updates sent")
    return "; ".join(parts)


def _made_row(made: SummaryMade) -> Markup:
    tone = made_tone(made)
    return _row(
        made.at_s,
        tone,
        "summary",
        made.outcome,
        str(made.turns),
        long(max(0.0, made.took_s)),
        made.by,
        f"{made.tokens:,}" if made.tokens else "",
        made.detail,
    )


def _update_row(update: UpdateRecord) -> Markup:
    way = _WAYS[update.how]
    return _row(
        update.at_s,
        "good" if update.done_s is not None else "odd",
        f"{update.kind} update",
        way if update.done_s is not None else f"waits, {way}",
        "",
        update_delay(update),
        "",
        "",
        "",
    )


def _row(at_s: float, tone: str, what: str, outcome: str, *others: str) -> Markup:
    return element(
        "tr",
        {"class": tone},
        time_cell(at_s),
        element("td", None, what),
        element("td", {"class": "" if tone == "good" else tone}, outcome),
        *(
            element(
                "td",
                {
                    "class": "number" if number in _NUMBERS else "words" if number == 7 else "",
                    "data-name": _HEADINGS[number][0],
                    "dir": "auto" if number == 7 else "",
                },
                text,
            )
            for number, text in enumerate(others, start=3)
        ),
    )

"""The tables of a campaign's page. No cell holds a telephone number."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from workers.campaign.brake import OFFENDERS, Measured
from workers.campaign.model import CampaignState, ContactState
from workers.dashboard.bars import meter
from workers.dashboard.campaign_page.plots import outcome_meter
from workers.dashboard.campaign_words import (
    CONTACT_WORDS,
    MEASURE_WORDS,
    OUTCOME_WORDS,
    percent,
    reason_words,
    told_events,
    without_numbers,
)
from workers.dashboard.instants import moment
from workers.dashboard.markup import Markup, element, joined
from workers.store.campaigns.braking import Offender
from workers.store.campaigns.overview import Overview, named_offenders

_NEWEST_EVENTS = 100


def outcomes_table(overview: Overview) -> Markup:
    """How many attempts ended how."""
    if not overview.settled:
        return element("p", {"class": "note"}, "No call has ended yet.")
    rows = [
        element(
            "tr",
            None,
            element("th", {"scope": "row"}, OUTCOME_WORDS[outcome]),
            element("td", {"class": "wide"}, outcome_meter(outcome, count / overview.settled)),
            element("td", {"class": "number"}, f"{count:,}"),
            element("td", {"class": "number muted"}, percent(count / overview.settled)),
        )
        for outcome in OUTCOME_WORDS
        if (count := overview.outcomes.get(outcome, 0))
    ]
    return _table("outcomes", ("Outcome", "", "Calls", "Share"), rows)


def brake_table(overview: Overview) -> Markup:
    """Each share of the newest calls beside its limit."""
    rows = [_brake_row(one) for one in overview.brake]
    return _table("brake", ("Share of the newest calls", "", "Now", "Limit"), rows)


def brake_note(overview: Overview) -> str:
    """Since when the brake looks, and whether it has seen enough."""
    limits = overview.campaign.definition.brake
    if overview.campaign.started_at is None:
        return "The campaign has not been started."
    seen = max((one.seen for one in overview.brake), default=0)
    since = f"Of the newest {limits.calls} calls since {moment(overview.campaign.started_at)}"
    if seen < limits.at_least:
        return f"{since}; {seen} so far, and nothing is judged before there are {limits.at_least}."
    return f"{since}; a campaign that reaches a limit pauses itself."


def events_table(overview: Overview) -> Markup:
    """What was done to the campaign, newest first."""
    if not overview.events:
        return element("p", {"class": "note"}, "Nothing was done to this campaign yet.")
    rows: list[Markup] = []
    for event, what, reason, tone in told_events(overview.events[-_NEWEST_EVENTS:]):
        named = [
            overview.offenders[one]
            for one in named_offenders(event)[:OFFENDERS]
            if one in overview.offenders
        ]
        rows.append(
            element(
                "tr",
                {"class": tone},
                element("td", {"class": "at"}, moment(event.at)),
                element("td", {"class": "what"}, without_numbers(what)),
                element(
                    "td",
                    {"class": "words"},
                    without_numbers(reason),
                    _offenders(named) if named else "",
                ),
            )
        )
    return _table("events", ("UTC", "What", "Why"), rows[::-1])


def reasons_table(overview: Overview) -> Markup:
    """Why contacts were not reached, or are not called now; the commonest first in each state."""
    counts: dict[tuple[ContactState, str], int] = {}
    for one in overview.reasons:
        if one.state is not ContactState.DONE:
            # Reasons that differ in a number only are one once it is left out.
            key = (one.state, without_numbers(reason_words(one.state, one.reason)))
            counts[key] = counts.get(key, 0) + one.contacts
    rows: list[Markup] = []
    for state, words in CONTACT_WORDS.items():
        mine = [(reason, count) for (at, reason), count in counts.items() if at is state]
        if not mine:
            continue
        of_state = overview.standing.of(state)
        rest = of_state - sum(count for _, count in mine)
        if rest:
            mine.append(("Other reasons", rest))
        rows += [
            element(
                "tr",
                {"class": f"c-{state}"},
                element("th", {"scope": "row"}, words if number == 0 else ""),
                element("td", {"class": "words"}, reason),
                element("td", {"class": "number"}, f"{count:,}"),
            )
            for number, (reason, count) in enumerate(mine)
        ]
    if not rows:
        return element("p", {"class": "note"}, "Everybody was reached.")
    return _table("reasons", ("Contacts", "Reason", ""), rows)


def errors_table(overview: Overview) -> Markup:
    """Rows of the source that were kept aside; none where there are none."""
    if not overview.row_errors:
        return Markup("")
    rows = [
        element(
            "tr",
            None,
            element("th", {"scope": "row"}, one.field),
            element("td", {"class": "words"}, without_numbers(one.message)),
            element("td", {"class": "number"}, f"{one.rows:,}"),
        )
        for one in overview.commonest_errors
    ]
    return joined(
        element("h3", None, f"Rows kept aside at import: {overview.row_errors:,}"),
        _table("reasons errors", ("Column", "What is wrong", ""), rows),
    )


def standing_bar(overview: Overview) -> Markup:
    """Contacts by state as one stacked bar with its legend."""
    stands = overview.standing
    if not stands.total:
        return element("p", {"class": "note"}, "No contacts have been imported.")
    parts = [(state, stands.of(state)) for state in CONTACT_WORDS if stands.of(state)]
    told = ", ".join(f"{CONTACT_WORDS[state].lower()} {count:,}" for state, count in parts)
    drawn: list[Markup] = []
    at = 0.0
    for state, count in parts:
        width = 100 * count / stands.total
        drawn.append(
            element(
                "rect",
                {"class": f"c-{state}", "x": f"{at:.3f}", "width": f"{width:.3f}", "height": 10},
                element("title", None, f"{CONTACT_WORDS[state]}: {count:,}"),
            )
        )
        at += width
    legend = [
        element(
            "li",
            None,
            element("i", {"class": f"c-{state}"}),
            f"{CONTACT_WORDS[state]} ",
            element("b", None, f"{count:,}"),
        )
        for state, count in parts
    ]
    return joined(
        element(
            "svg",
            {
                "class": "standing",
                "viewBox": "0 0 100 10",
                "preserveAspectRatio": "none",
                "role": "img",
                "aria-label": f"{stands.total:,} contacts: {told}.",
            },
            *drawn,
        ),
        element("ul", {"class": "legend"}, *legend),
    )


def state_tone(state: CampaignState, reason: str) -> str:
    """How grave a campaign's state is: a pause with a reason wants somebody to look."""
    if state is CampaignState.CANCELLED:
        return "bad"
    return "odd" if state is CampaignState.DRAFT or (reason and not state.dials) else "good"


def _brake_row(one: Measured) -> Markup:
    tone = "bad" if one.reached else "good" if one.judged else "odd"
    limit = "–" if one.limit is None else percent(one.limit)
    return element(
        "tr",
        {"class": tone if one.limit is not None else ""},
        element("th", {"scope": "row"}, MEASURE_WORDS[one.measure]),
        element("td", {"class": "wide"}, meter(one.share, tone, limit=one.limit)),
        element(
            "td",
            {"class": "number"},
            f"{percent(one.share)} ",
            element("span", {"class": "muted"}, f"{len(one.offenders)} of {one.seen}"),
        ),
        element("td", {"class": "number muted"}, limit),
    )


def _offenders(offenders: Sequence[Offender]) -> Markup:
    def told(one: Offender) -> str:
        outcome = "not settled" if one.outcome is None else OUTCOME_WORDS[one.outcome].lower()
        codes = [f"SIP {one.sip_code}"] if one.sip_code else []
        codes += [f"Twilio {one.error_code}"] if one.error_code else []
        at = f"{one.asked_at:%H:%M:%S}" if one.asked_at else "not asked"
        return ", ".join([f"line {one.line}: {at}", outcome, *codes])

    items = [element("li", {"title": one.call_sid or ""}, told(one)) for one in offenders]
    return element(
        "details",
        {"class": "offenders"},
        element("summary", None, f"The newest {len(offenders)}, by line of the source"),
        element("ul", None, *items),
    )


def _table(kind: str, heads: Sequence[str], rows: Iterable[Markup]) -> Markup:
    numbers = {"Calls", "Share", "Now", "Limit"}
    return element(
        "table",
        {"class": kind},
        element(
            "thead",
            None,
            element(
                "tr",
                None,
                *(
                    element(
                        "th", {"scope": "col", "class": "number" if head in numbers else ""}, head
                    )
                    for head in heads
                ),
            ),
        ),
        element("tbody", None, *rows),
    )

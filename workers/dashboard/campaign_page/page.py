"""One campaign as a single HTML page that needs nothing but itself.

It is written to be handed on: it names no telephone number, and nobody who was called. The template
and its style lie in ``page_assets``; the page forbids itself to load or run anything
(Content-Security-Policy).
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from pathlib import PurePath
from string import Template

from workers.campaign.model import ContactState
from workers.dashboard.call_page.figures import Figure
from workers.dashboard.campaign_page import plots, tables
from workers.dashboard.campaign_page.plots import quantile
from workers.dashboard.campaign_page.reported import reported_section
from workers.dashboard.campaign_words import percent, without_numbers
from workers.dashboard.instants import moment
from workers.dashboard.markup import Markup, element, escaped, joined
from workers.dashboard.shared_style import plot_style, shared_style
from workers.dashboard.story import long
from workers.store.campaigns.overview import Overview
from workers.store.campaigns.series import PEOPLE, REACHED_NETWORK


def render_campaign(overview: Overview) -> str:
    """Render the page of a campaign, to be written as UTF-8; some 50 kB."""
    campaign = overview.campaign
    reason = without_numbers(campaign.reason)
    return Template(_asset("page.html")).substitute(
        style=shared_style() + plot_style() + _asset("page.css"),
        title=escaped(f"{campaign.name}: {campaign.state}, {percent(overview.standing.share)}"),
        name=escaped(campaign.name),
        tone=tables.state_tone(campaign.state, reason),
        state=escaped(campaign.state.capitalize()),
        detail=element("p", {"class": "detail"}, reason) if reason else "",
        facts=_facts(overview),
        tiles=joined(*(_tile(figure) for figure in headline(overview))),
        standing=tables.standing_bar(overview),
        over_time=plots.outcomes_plot(overview),
        outcomes=tables.outcomes_table(overview),
        reported=reported_section(overview),
        hours=plots.hours_plot(overview),
        zones=plots.zones_table(overview),
        lengths=plots.lengths_plot(overview),
        dials=plots.dials_plot(overview),
        brake_note=escaped(tables.brake_note(overview)),
        brake=tables.brake_table(overview),
        events=tables.events_table(overview),
        reasons=tables.reasons_table(overview),
        errors=tables.errors_table(overview),
        few=str(plots.FEW),
    )


def headline(overview: Overview) -> list[Figure]:
    """The numbers one looks at first."""
    stands = overview.standing
    reached = stands.of(ContactState.DONE)
    waiting, in_hand = stands.of(ContactState.WAITING), stands.of(ContactState.IN_HAND)
    rang = sum(overview.outcomes.get(one, 0) for one in REACHED_NETWORK)
    people = sum(overview.outcomes.get(one, 0) for one in PEOPLE)
    now = sum(overview.under_way.values())
    lengths = overview.lengths.people
    return [
        Figure(
            "Contacts done with",
            percent(stands.share),
            note=f"{stands.final:,} of {stands.total:,}; {waiting:,} waiting, {in_hand:,} in hand",
        ),
        Figure(
            "Reached",
            f"{reached:,}",
            note=f"{percent(reached / stands.final)} of those done with" if stands.final else "–",
        ),
        Figure("Calls ended", f"{overview.settled:,}", note=f"{now:,} in progress"),
        Figure(
            "Answered by a person",
            percent(people / rang) if rang else "–",
            note=f"of {rang:,} calls that reached a telephone",
        ),
        Figure(
            "Length with a person",
            long(quantile(lengths, 0.5)) if lengths else "–",
            note="median" if lengths else "nobody has answered",
        ),
        Figure(
            "Rows kept aside",
            f"{overview.row_errors:,}" if overview.row_errors else "none",
            "odd" if overview.row_errors else "good",
            "at import",
        ),
    ]


def _facts(overview: Overview) -> Markup:
    campaign, definition = overview.campaign, overview.campaign.definition
    pace = definition.pace
    facts = [
        ("As of", f"{moment(overview.at)} UTC"),
        ("Created", moment(campaign.created_at)),
        ("Started", moment(campaign.started_at) if campaign.started_at else "not yet"),
        ("Agent", PurePath(definition.agent).name),
        ("Contacts", PurePath(definition.source.file).name),
        ("Calls from", f"{len(definition.callers)} numbers" if len(definition.callers) > 1 else ""),
        ("Pace", f"{pace.calls_per_second:g}/s, {pace.calls_at_once:,} at once"),
        ("Attempts", f"up to {definition.attempts.most}"),
        ("Voicemail", definition.voicemail.replace("_", " ")),
    ]
    return joined(
        *(
            element("div", None, element("dt", None, name), element("dd", None, value))
            for name, value in facts
            if value
        )
    )


def _tile(figure: Figure) -> Markup:
    return element(
        "li",
        {"class": f"tile {figure.tone}"},
        element("span", {"class": "label"}, figure.label),
        element("strong", None, figure.value),
        element("span", {"class": "small"}, figure.note),
    )


@cache
def _asset(name: str) -> str:
    return (resources.files("workers.dashboard.campaign_page") / "page_assets" / name).read_text(
        encoding="utf-8"
    )

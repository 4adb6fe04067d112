"""What agents have reported about the contacts, on the campaign's page."""

from __future__ import annotations

from workers.dashboard.bars import meter
from workers.dashboard.campaign_words import percent, without_numbers
from workers.dashboard.markup import Markup, element
from workers.store.campaigns.overview import Overview


def reported_section(overview: Overview) -> Markup:
    """A card with a row for each value; nothing where the campaign's file has no fields."""
    if not overview.reported:
        return Markup("")
    rows: list[Markup] = []
    for field in overview.reported:
        # Of a text or a number there is no more to say here than that it was given.
        values = field.values or {"given": field.given}
        whole = field.given if field.values else max(1, overview.standing.final)
        for index, (value, count) in enumerate(values.items()):
            rows.append(
                element(
                    "tr",
                    None,
                    element("th", {"scope": "row"}, field.name if index == 0 else ""),
                    element("td", {"class": "words"}, without_numbers(value)),
                    element("td", {"class": "wide"}, meter(count / whole, "good")),
                    element("td", {"class": "number"}, f"{count:,}"),
                    element("td", {"class": "number muted"}, percent(count / whole)),
                )
            )
    return element(
        "section",
        {"class": "card", "aria-labelledby": "reported"},
        element(
            "h2",
            {"id": "reported"},
            "What was reported ",
            element("small", None, "by the agent, about contacts"),
        ),
        element("table", {"class": "reported"}, element("tbody", None, *rows)),
    )

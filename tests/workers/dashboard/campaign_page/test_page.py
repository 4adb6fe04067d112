"""The page of a campaign: it stands by itself, shows every figure, and names nobody."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from tests.workers.dashboard.outline import Outline, rows_of
from tests.workers.store.campaigns.filled import BRAKE_REASON
from workers.campaign.model import CampaignState, ContactState
from workers.dashboard.campaign_page.page import headline, render_campaign
from workers.dashboard.campaign_words import CONTACT_WORDS, OUTCOME_WORDS, percent
from workers.store.campaigns.overview import Overview
from workers.store.campaigns.reported import Reported


def test_page_needs_nothing_but_itself(seen: Overview) -> None:
    """No address anywhere, no script, and a policy that allows none."""
    page = render_campaign(seen)
    outline = Outline(page)
    assert not [attrs for _, attrs in outline.tags if {"src", "href"} & set(attrs)]
    assert "script" not in {tag for tag, _ in outline.tags}
    assert "url(" not in page
    assert "@import" not in page
    policy = next(a for t, a in outline.tags if t == "meta" and "http-equiv" in a)
    assert (policy["content"] or "").startswith("default-src 'none'; style-src 'unsafe-inline';")


def test_every_figure_is_there(seen: Overview) -> None:
    """States, outcomes, reasons, shares of the brake, zones, row errors."""
    page = render_campaign(seen)
    text, rows = Outline(page).text, rows_of(page)
    for state, words in CONTACT_WORDS.items():
        assert f"{words} {seen.standing.of(state):,}" in text
    for outcome, count in seen.outcomes.items():
        assert f"{OUTCOME_WORDS[outcome]} {count:,} {percent(count / seen.settled)}" in rows
    for one in seen.reasons:
        if one.reason and one.state is not ContactState.DONE and "+" not in one.reason:
            assert any(f"{one.reason} {one.contacts:,}" in row for row in rows)
    assert any(row.endswith("from (number) 18") for row in rows)
    for measured in seen.brake:
        share = f"{percent(measured.share)} {len(measured.offenders)} of {measured.seen}"
        assert any(f"{share} {percent(measured.limit or 0)}" in row for row in rows)
    for zone, rate in seen.rates.by_zone.items():
        name = zone.replace("_", " ") or "Not known"
        assert f"{name} {percent(rate.share)} {rate.calls:,}" in rows
    assert "Rows kept aside at import: 3" in text
    assert "phone no number 2" in rows
    for figure in headline(seen):
        assert f"{figure.label} {figure.value}" in text


def test_each_plot_can_be_read_without_seeing_it(seen: Overview) -> None:
    """A sentence for each picture, and its numbers as a table."""
    page = render_campaign(seen)
    images = [attrs for tag, attrs in Outline(page).tags if attrs.get("role") == "img"]
    told = [image["aria-label"] or "" for image in images]
    for name in (
        "Outcomes over time",
        "Answer rate by hour",
        "Dials per minute",
        "Length of calls",
    ):
        assert any(label.startswith(name) and len(label) > len(name) + 20 for label in told)
    assert page.count('<table class="data">') == 4
    drawn = [attrs for tag, attrs in Outline(page).tags if tag == "svg"]
    assert all(a.get("role") == "img" or a.get("aria-hidden") == "true" for a in drawn)


def test_outcomes_over_time_add_up(seen: Overview) -> None:
    """The table under the plot holds every attempt once."""
    page = render_campaign(seen)
    table = page.split('<table class="data">')[1].split("</table>")[0]
    cells = re.findall(r"<td>([\d,]+)</td>", table)
    assert sum(int(cell.replace(",", "")) for cell in cells) == seen.settled


def test_nobody_is_named(seen: Overview) -> None:
    """No telephone number, ours or theirs, no name, no key, not even in a reason."""
    page = re.sub(r"<style>.*?</style>", "", render_campaign(seen), flags=re.DOTALL)
    # The call SID of an offender, which leads to its record, is digits as well.
    page = re.sub(r'title="CA[0-9a-f]{32}"', "", page)
    assert not re.search(r"\+\d{6,}|\d{7,}", page)
    assert "555" not in Outline(page).text
    assert "Contact 1" not in page
    assert "K17" not in page


def test_brake_names_its_offenders_by_line(seen: Overview) -> None:
    """The reason stands once, beside the pause that it caused."""
    page = render_campaign(seen)
    text = Outline(page).text
    assert text.count(BRAKE_REASON) == 1
    assert "The newest 6, by line of the source" in text
    assert (
        len(re.findall(r"line \d+: [\d:]{8}, blocked by the carrier, SIP 603, Twilio 32017", text))
        == 6
    )


@pytest.mark.parametrize("state", list(CampaignState))
def test_state_and_its_reason_are_in_the_title(seen: Overview, state: CampaignState) -> None:
    """What must be mended is read first; markup in it has no effect, a number in it is left out."""
    campaign = replace(
        seen.campaign, state=state, reason="Verify <b>+15550100001</b>, then resume."
    )
    page = render_campaign(replace(seen, campaign=campaign))
    Outline(page)
    assert "Verify &lt;b&gt;(number)&lt;/b&gt;, then resume." in page
    assert f">{state.capitalize()}</p>" in page


def test_a_campaign_that_has_not_been_started_has_a_page(draft: Overview) -> None:
    """Nothing is divided by nothing."""
    empty = replace(
        draft,
        outcomes={},
        over_time={},
        dials={},
        rates=replace(draft.rates, by_hour={}, by_zone={}),
        lengths=replace(draft.lengths, people={}, machines={}),
        events=[],
        reasons=[],
        standing=type(draft.standing)({}),
    )
    for one in (draft, empty):
        Outline(render_campaign(one))
    text = Outline(render_campaign(empty)).text
    assert "Nobody has been dialled yet." in text
    assert "No contacts have been imported." in text
    assert "The campaign has not been started." in text


def test_what_agents_reported_is_counted(seen: Overview) -> None:
    """Value by value where there are few; where nothing is to be reported there is no card."""
    reported = [Reported("coming", 4, {"yes": 3, "no": 1}), Reported("note", 1, {})]
    page = render_campaign(replace(seen, reported=reported))
    Outline(page)
    rows = rows_of(page)
    assert "coming yes 3 75 %" in rows
    assert "no 1 25 %" in rows
    assert any(row.startswith("note given 1 ") for row in rows)
    assert "What was reported" in page
    assert "What was reported" not in render_campaign(replace(seen, reported=()))

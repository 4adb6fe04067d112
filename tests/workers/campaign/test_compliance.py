from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import TypeVar
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.campaign.compliance import (
    UNREADABLE,
    Call,
    Check,
    Decision,
    Later,
    Never,
    Reason,
    Stage,
    Unreadable,
    decide,
    explain,
)
from workers.campaign.model import (
    Attempts,
    Campaign,
    CampaignState,
    Contact,
    ContactState,
    Hours,
    Source,
    Weekday,
    Window,
)

HOUR = timedelta(hours=1)
TICK = timedelta(microseconds=1)
NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
"""A Monday; two in the afternoon in Berlin."""
BERLIN = ("Europe/Berlin",)
NINE_TO_SIX = Hours({day: (Window(time(9), time(18)),) for day in list(Weekday)[:5]})

CAMPAIGN = Campaign(
    name="renewals",
    agent="agent.yaml",
    callers=("+4930123456",),
    source=Source("people.csv"),
    hours=NINE_TO_SIX,
    attempts=Attempts(most=3, per_day=2),
    ends_on=date(2026, 5, 8),
    consent_required=True,
)
CONTACT = Contact(contact_id=1, campaign_id=1, number="+49301234567", zones=BERLIN)
GOOD = Check(
    stage=Stage.SCHEDULING,
    stopped=False,
    campaign_state=CampaignState.RUNNING,
    campaign=CAMPAIGN,
    contact=CONTACT,
    suppressed=None,
    consent=True,
    recent=(),
)


def with_campaign(check: Check = GOOD, **changes: object) -> Check:
    return replace(check, campaign=replace(check.campaign, **changes))  # type: ignore[arg-type]


def with_contact(check: Check = GOOD, **changes: object) -> Check:
    return replace(check, contact=replace(check.contact, **changes))  # type: ignore[arg-type]


def in_state(state: ContactState, stage: Stage = Stage.SCHEDULING) -> Check:
    return replace(with_contact(state=state), stage=stage)


# -- each reason -------------------------------------------------------------------------------

TUESDAY_AT_NINE = datetime(2026, 5, 5, 7, tzinfo=UTC)
TWICE_TODAY = (NOON - 3 * HOUR, NOON - 4 * HOUR)
NOWHERE_TOGETHER = ("Asia/Tokyo", "America/New_York")

CASES: list[tuple[Check, Decision]] = [
    (replace(GOOD, stopped=True), Later(None, Reason.EMERGENCY_STOP)),
    (replace(GOOD, stopped=UNREADABLE), Later(None, Reason.STOP_UNREADABLE)),
    (
        replace(GOOD, campaign_state=CampaignState.DRAFT),
        Later(None, Reason.CAMPAIGN_DRAFT),
    ),
    (
        replace(GOOD, campaign_state=CampaignState.PAUSED),
        Later(None, Reason.CAMPAIGN_PAUSED),
    ),
    (
        replace(GOOD, campaign_state=CampaignState.FINISHED),
        Later(None, Reason.CAMPAIGN_FINISHED),
    ),
    (
        replace(GOOD, campaign_state=CampaignState.CANCELLED),
        Never(Reason.CAMPAIGN_CANCELLED),
    ),
    (in_state(ContactState.IN_HAND), Later(None, Reason.IN_HAND)),
    (in_state(ContactState.WAITING, Stage.DIALLING), Later(None, Reason.NOT_IN_HAND)),
    (in_state(ContactState.DONE), Never(Reason.DONE)),
    (in_state(ContactState.EXHAUSTED), Never(Reason.EXHAUSTED)),
    (in_state(ContactState.NEVER), Never(Reason.SET_ASIDE)),
    (in_state(ContactState.CANCELLED, Stage.DIALLING), Never(Reason.CANCELLED)),
    (
        replace(GOOD, suppressed="opted out on the phone"),
        Never(Reason.SUPPRESSED, "opted out on the phone"),
    ),
    (replace(GOOD, suppressed=""), Never(Reason.SUPPRESSED)),
    (replace(GOOD, suppressed=UNREADABLE), Later(None, Reason.SUPPRESSION_UNREADABLE)),
    (replace(GOOD, consent=False), Never(Reason.NO_CONSENT)),
    (replace(GOOD, consent=UNREADABLE), Later(None, Reason.CONSENT_UNREADABLE)),
    (with_campaign(ends_on=date(2026, 5, 3)), Never(Reason.ENDED)),
    # It is Tuesday in one of the zones they may be in.
    (
        with_contact(
            with_campaign(ends_on=date(2026, 5, 4)), zones=(*BERLIN, "Pacific/Kiritimati")
        ),
        Never(Reason.ENDED),
    ),
    (with_contact(attempts=3), Never(Reason.ALL_ATTEMPTS_MADE)),
    (with_campaign(attempts=Attempts(per_day=0)), Never(Reason.ALL_ATTEMPTS_MADE)),
    # The older falls out at 10:00 in Berlin.
    (
        replace(GOOD, recent=TWICE_TODAY),
        Later(datetime(2026, 5, 5, 8, tzinfo=UTC), Reason.TOO_MANY_IN_24_HOURS),
    ),
    (replace(GOOD, recent=UNREADABLE), Later(None, Reason.ATTEMPTS_UNREADABLE)),
    (replace(GOOD, being_called=True), Later(None, Reason.BEING_CALLED)),
    (with_contact(not_before=NOON + HOUR), Later(NOON + HOUR, Reason.NOT_YET)),
    # 18:00 in Berlin is too late.
    (with_contact(not_before=NOON + 4 * HOUR), Later(TUESDAY_AT_NINE, Reason.NOT_YET)),
    (
        with_campaign(hours=Hours({Weekday.TUESDAY: (Window(time(9), time(18)),)})),
        Later(TUESDAY_AT_NINE, Reason.OUT_OF_HOURS),
    ),
    (with_contact(zones=()), Never(Reason.NO_ZONE)),
    (with_contact(zones=(*BERLIN, "Mars/Olympus")), Later(None, Reason.UNKNOWN_ZONE)),
    (
        with_contact(with_campaign(ends_on=None), zones=("Mars/Olympus",)),
        Later(None, Reason.UNKNOWN_ZONE),
    ),
    (with_contact(zones=NOWHERE_TOGETHER), Never(Reason.NO_HOURS)),
    (with_campaign(hours=Hours({})), Never(Reason.NO_HOURS)),
    (
        with_contact(with_campaign(ends_on=date(2026, 5, 4)), not_before=NOON + 4 * HOUR),
        Never(Reason.NO_TIME_LEFT),
    ),
]


@pytest.mark.parametrize(
    ("check", "expected"), CASES, ids=[f"{i}-{case[1]}" for i, case in enumerate(CASES)]
)
def test_one_thing_amiss_gives_its_reason(check: Check, expected: Decision) -> None:
    """Where everything else holds, the decision names the one thing that does not."""
    assert decide(check, NOON) == expected


def test_each_reason_is_given_and_has_its_own_sentence() -> None:
    """The table above covers every reason, and no two read the same."""
    assert {expected.reason for _, expected in CASES if not isinstance(expected, Call)} == set(
        Reason
    )
    sentences = [reason.sentence for reason in Reason]
    assert len(set(sentences)) == len(sentences)
    assert all(sentence.endswith(".") for sentence in sentences)


@pytest.mark.parametrize("state", [CampaignState.CANARY, CampaignState.RUNNING])
def test_who_passes_every_check_may_be_called(state: CampaignState) -> None:
    """With nothing amiss the decision is to call: when scheduling, and when dialling."""
    check = replace(GOOD, campaign_state=state)
    assert decide(check, NOON) == Call()
    in_hand = in_state(ContactState.IN_HAND, Stage.DIALLING)
    assert decide(replace(in_hand, campaign_state=state), NOON) == Call()


def test_consent_is_asked_for_only_where_the_campaign_requires_it() -> None:
    """Without the requirement neither missing nor unreadable consent stands in the way."""
    check = with_campaign(consent_required=False)
    assert decide(replace(check, consent=False), NOON) == Call()
    assert decide(replace(check, consent=UNREADABLE), NOON) == Call()


def test_the_first_check_that_fails_gives_the_reason() -> None:
    """With everything amiss, mending one thing after the other brings the reasons in order."""
    check = Check(
        stage=Stage.SCHEDULING,
        stopped=True,
        campaign_state=CampaignState.PAUSED,
        campaign=replace(
            CAMPAIGN,
            ends_on=date(2026, 5, 3),
            hours=Hours({Weekday.TUESDAY: (Window(time(9), time(18)),)}),
        ),
        contact=replace(CONTACT, state=ContactState.IN_HAND, attempts=3, not_before=NOON + HOUR),
        suppressed="no",
        consent=False,
        recent=TWICE_TODAY,
    )
    reasons = []

    def note() -> None:
        decision = decide(check, NOON)
        assert not isinstance(decision, Call)
        reasons.append(decision.reason)

    note()
    check = replace(check, stopped=False)
    note()
    check = replace(check, campaign_state=CampaignState.RUNNING)
    note()
    check = with_contact(check, state=ContactState.WAITING)
    note()
    check = replace(check, suppressed=None)
    note()
    check = replace(check, consent=True)
    note()
    check = with_campaign(check, ends_on=None)
    note()
    check = with_contact(check, attempts=2)
    note()
    check = replace(check, recent=())
    note()
    check = with_contact(check, not_before=None)
    note()
    check = with_campaign(check, hours=NINE_TO_SIX)
    assert decide(check, NOON) == Call()
    assert reasons == [
        Reason.EMERGENCY_STOP,
        Reason.CAMPAIGN_PAUSED,
        Reason.IN_HAND,
        Reason.SUPPRESSED,
        Reason.NO_CONSENT,
        Reason.ENDED,
        Reason.ALL_ATTEMPTS_MADE,
        Reason.TOO_MANY_IN_24_HOURS,
        Reason.NOT_YET,
        Reason.OUT_OF_HOURS,
    ]


# -- attempts in 24 hours ----------------------------------------------------------------------

ROUND_THE_CLOCK = Hours(dict.fromkeys(Weekday, (Window(time(0), time(0)),)))


def test_an_attempt_counts_until_it_is_24_hours_old() -> None:
    """Just before it is 24 hours old it counts, then it does not."""
    check = replace(with_campaign(hours=ROUND_THE_CLOCK), recent=TWICE_TODAY)
    free_at = NOON + 20 * HOUR
    assert decide(check, free_at - TICK) == Later(free_at, Reason.TOO_MANY_IN_24_HOURS)
    assert decide(check, free_at) == Call()


def test_more_attempts_than_allowed_wait_for_as_many_to_fall_out() -> None:
    """With a limit of 2 and 3 attempts made, the number is free when the second falls out."""
    recent = (NOON - HOUR, NOON - 5 * HOUR, NOON - 3 * HOUR, NOON - 30 * HOUR)
    check = replace(with_campaign(hours=ROUND_THE_CLOCK), recent=recent)
    assert decide(check, NOON) == Later(NOON + 21 * HOUR, Reason.TOO_MANY_IN_24_HOURS)


def test_an_attempt_in_the_future_counts() -> None:
    """Another machine's clock may be ahead: its attempts count all the same."""
    check = replace(with_campaign(attempts=Attempts(per_day=1)), recent=(NOON + TICK,))
    assert isinstance(decide(check, NOON), Later)


def test_24_hours_are_real_hours() -> None:
    """Over the night that is an hour longer, 24 hours are over an hour earlier on the wall."""
    berlin = ZoneInfo("Europe/Berlin")
    asked = datetime(2026, 10, 24, 12, tzinfo=berlin)
    check = with_campaign(hours=ROUND_THE_CLOCK, ends_on=None, attempts=Attempts(per_day=1))
    now = datetime(2026, 10, 24, 13, tzinfo=berlin)
    decision = decide(replace(check, recent=(asked,)), now)
    assert isinstance(decision, Later)
    assert decision.at == datetime(2026, 10, 25, 10, tzinfo=UTC)
    assert decision.at.astimezone(berlin).hour == 11


def test_not_before_is_a_moment_in_a_repeated_hour() -> None:
    """02:30 the second time is an hour after 02:30 the first time, whatever the wall says."""
    berlin = ZoneInfo("Europe/Berlin")
    first = datetime(2026, 10, 25, 2, 30, tzinfo=berlin)
    second = first.replace(fold=1)
    check = with_campaign(hours=ROUND_THE_CLOCK, ends_on=None)
    decision = decide(with_contact(check, not_before=second), first)
    assert decision == Later(datetime(2026, 10, 25, 1, 30, tzinfo=UTC), Reason.NOT_YET)


@pytest.mark.parametrize(
    ("check", "now"),
    [
        (GOOD, NOON.replace(tzinfo=None)),
        (replace(GOOD, recent=(NOON.replace(tzinfo=None),)), NOON),
        (with_contact(not_before=NOON.replace(tzinfo=None)), NOON),
    ],
)
def test_a_naive_time_is_refused(check: Check, now: datetime) -> None:
    """A time without a zone is no moment: an error, and no call."""
    with pytest.raises(ValueError, match="naive"):
        decide(check, now)


@pytest.mark.parametrize(
    ("decision", "expected"),
    [
        (Call(), "They may be called."),
        (Later(NOON, Reason.NOT_YET), "The next attempt is not due yet."),
        (Never(Reason.SUPPRESSED), "Their number is on the suppression list."),
        (
            Never(Reason.SUPPRESSED, "asked by letter"),
            "Their number is on the suppression list: asked by letter",
        ),
    ],
)
def test_a_decision_reads_as_a_sentence(decision: Decision, expected: str) -> None:
    """The report has a sentence, with what the suppression list says."""
    assert explain(decision) == expected


# -- all at once -------------------------------------------------------------------------------


T = TypeVar("T")


def mostly(good: T, *bad: T) -> st.SearchStrategy[T]:
    """One in ten is bad, so that most conditions hold together often enough."""
    return st.sampled_from([good] * 9 * len(bad) + list(bad))


hours_away = st.integers(-40 * 60, 40 * 60).map(lambda minutes: timedelta(minutes=minutes))


@st.composite
def checks(draw: st.DrawFn) -> Check:
    stage = draw(st.sampled_from(Stage))
    campaign = replace(
        CAMPAIGN,
        hours=draw(mostly(ROUND_THE_CLOCK, NINE_TO_SIX, Hours({}))),
        attempts=Attempts(most=draw(mostly(3, 0, 1, 2)), per_day=draw(mostly(2, 0, 1, 3))),
        ends_on=draw(mostly(None, *(NOON.date() + timedelta(days) for days in (-1, 0, 1)))),
        consent_required=draw(st.booleans()),
    )
    fit = ContactState.WAITING if stage is Stage.SCHEDULING else ContactState.IN_HAND
    contact = replace(
        CONTACT,
        state=draw(mostly(fit, *ContactState)),
        attempts=draw(st.integers(0, 2)),
        not_before=draw(st.one_of(st.none(), hours_away.map(lambda away: NOON + away))),
        zones=draw(
            mostly(
                BERLIN,
                (),
                ("Mars/Olympus",),
                (*BERLIN, "Mars/Olympus"),
                ("Pacific/Kiritimati", "Pacific/Niue"),
                ("America/New_York", "America/Los_Angeles"),
            )
        ),
    )
    stopped: st.SearchStrategy[bool | Unreadable] = mostly(False, True, UNREADABLE)
    consent: st.SearchStrategy[bool | Unreadable] = mostly(True, False, UNREADABLE)
    recent = st.lists(hours_away.map(lambda away: NOON + away), max_size=4).map(tuple)
    return Check(
        stage=stage,
        stopped=draw(stopped),
        campaign_state=draw(mostly(CampaignState.RUNNING, *CampaignState)),
        campaign=campaign,
        contact=contact,
        suppressed=draw(mostly(None, "", "asked", UNREADABLE)),
        consent=draw(consent),
        recent=draw(recent) if draw(mostly(True, False)) else UNREADABLE,
    )


def conditions(check: Check, now: datetime) -> dict[str, bool]:
    """Each on its own, put as plainly as can be."""
    campaign, contact = check.campaign, check.contact
    walls = [
        now.astimezone(ZoneInfo(zone)) for zone in contact.zones if not zone.startswith("Mars")
    ]
    wanted = {Stage.SCHEDULING: "waiting", Stage.DIALLING: "in_hand"}[check.stage]
    day_ago = now - 24 * HOUR
    return {
        "not stopped": check.stopped is False,
        "campaign": check.campaign_state in ("running", "canary"),
        "contact": contact.state == wanted,
        "not suppressed": check.suppressed is None,
        "consent": check.consent is True or not campaign.consent_required,
        "end": campaign.ends_on is None or all(wall.date() <= campaign.ends_on for wall in walls),
        "in total": contact.attempts < campaign.attempts.most,
        "per day": not isinstance(check.recent, Unreadable)
        and sum(asked > day_ago for asked in check.recent) < campaign.attempts.per_day,
        "due": contact.not_before is None or contact.not_before <= now,
        "zones": len(walls) == len(contact.zones) > 0,
        "hours": campaign.hours is ROUND_THE_CLOCK
        or (
            campaign.hours is NINE_TO_SIX
            and all(wall.weekday() < 5 and 9 <= wall.hour < 18 for wall in walls)
        ),
    }


@settings(max_examples=1000, deadline=None)
@given(checks(), hours_away)
def test_a_call_is_permitted_exactly_when_every_condition_holds(
    check: Check, away: timedelta
) -> None:
    """Nobody is called while anything is amiss, and somebody is when nothing is."""
    now = NOON + away
    failing = [name for name, holds in conditions(check, now).items() if not holds]
    decision = decide(check, now)
    assert (decision == Call()) is (failing == []), (decision, failing)


@settings(max_examples=1000, deadline=None)
@given(checks(), st.data())
def test_later_is_the_first_moment_at_which_they_may_be_called(
    check: Check, data: st.DataObject
) -> None:
    """If nothing else changes they may be called then, and at no moment before it."""
    decision = decide(check, NOON)
    if isinstance(decision, Later) and decision.at is not None:
        assert decision.at > NOON
        assert decide(check, decision.at) == Call()
        minutes = int((decision.at - NOON) / timedelta(minutes=1))
        between = data.draw(st.lists(st.integers(0, minutes), max_size=10))
        for early in [decision.at - TICK, *(NOON + timedelta(minutes=m) for m in between)]:
            if early < decision.at:
                assert decide(check, early) != Call()


@settings(max_examples=500, deadline=None)
@given(checks(), st.integers(0, 200 * 24))
def test_never_does_not_become_a_call_by_waiting(check: Check, hours: int) -> None:
    """Who is never to be called is not called at any later moment either."""
    if isinstance(decide(check, NOON), Never):
        assert decide(check, NOON + hours * HOUR) != Call()

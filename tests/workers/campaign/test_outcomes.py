"""Outcomes: every code, every verdict of detection, and what comes next."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.calls.status import AnsweredBy, CallStatus
from telephony.errors import (
    CallAlreadyOver,
    CarrierBusy,
    CarrierError,
    CarrierRejected,
    CarrierUnreachable,
    NumberRefused,
    OutcomeUnknown,
    SettingsRefused,
    carrier_error,
)
from workers.campaign.model import (
    DEFAULT_SPACING,
    Attempts,
    Contact,
    ContactState,
    LineOutcome,
)
from workers.campaign.outcomes import (
    NOT_PLACED_MOST,
    Again,
    Done,
    Exhausted,
    Never,
    Next,
    after,
    line_outcome,
)
from workers.campaign.refusals import Later, NeverDial, PauseCampaign, Reconcile, refused

NOW = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)
CONTACT = Contact(1, 1, "+15550100", ("America/New_York",), ContactState.IN_HAND, attempts=1)
TERMINAL = [status for status in CallStatus if status.terminal]
NOT_ANSWERED = [CallStatus.BUSY, CallStatus.NO_ANSWER, CallStatus.FAILED]
MACHINES = [one for one in AnsweredBy if one.value.startswith("machine")]

# -- line_outcome ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answered_by", "expected"),
    [
        (None, LineOutcome.HUMAN),
        (AnsweredBy.HUMAN, LineOutcome.HUMAN),
        (AnsweredBy.UNKNOWN, LineOutcome.HUMAN),
        (AnsweredBy("a value of tomorrow"), LineOutcome.HUMAN),
        (AnsweredBy.MACHINE_START, LineOutcome.VOICEMAIL),
        (AnsweredBy.MACHINE_END_BEEP, LineOutcome.VOICEMAIL),
        (AnsweredBy.MACHINE_END_SILENCE, LineOutcome.VOICEMAIL),
        (AnsweredBy.MACHINE_END_OTHER, LineOutcome.VOICEMAIL),
        (AnsweredBy.FAX, LineOutcome.FAX),
    ],
)
def test_who_answered_is_what_detection_says(
    answered_by: AnsweredBy | None, expected: LineOutcome
) -> None:
    """Answered alone is no person where a machine was found; unknown is one."""
    assert line_outcome(CallStatus.COMPLETED, answered_by) is expected
    # The codes of a call that was put through say nothing of who answered.
    assert line_outcome(CallStatus.COMPLETED, answered_by, sip_code=200) is expected


@pytest.mark.parametrize("answered_by", [None, AnsweredBy.HUMAN, AnsweredBy.UNKNOWN, *MACHINES])
def test_what_our_side_found_to_be_a_machine_is_one(answered_by: AnsweredBy | None) -> None:
    """Whatever detection says."""
    outcome = line_outcome(CallStatus.COMPLETED, answered_by, over_as_machine=True)
    assert outcome is LineOutcome.VOICEMAIL


@pytest.mark.parametrize("answered_by", [None, AnsweredBy.HUMAN, AnsweredBy.UNKNOWN, *MACHINES])
def test_a_message_that_was_left_is_that(answered_by: AnsweredBy | None) -> None:
    """Only a fax machine keeps none."""
    outcome = line_outcome(
        CallStatus.COMPLETED, answered_by, message_left=True, over_as_machine=True
    )
    assert outcome is LineOutcome.MESSAGE_LEFT
    outcome = line_outcome(CallStatus.COMPLETED, AnsweredBy.FAX, message_left=True)
    assert outcome is LineOutcome.FAX


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (CallStatus.BUSY, LineOutcome.BUSY),
        (CallStatus.NO_ANSWER, LineOutcome.NO_ANSWER),
        (CallStatus.FAILED, LineOutcome.FAILED),
        (CallStatus.CANCELED, LineOutcome.CANCELED),
        (CallStatus.COMPLETED, LineOutcome.HUMAN),
    ],
)
def test_without_codes_the_status_decides(status: CallStatus, expected: LineOutcome) -> None:
    """Also with codes that nobody knows."""
    assert line_outcome(status, None) is expected
    assert line_outcome(status, None, sip_code=599, error_code=99999) is expected


SIP = [
    (404, LineOutcome.BAD_NUMBER),
    (410, LineOutcome.BAD_NUMBER),
    (480, LineOutcome.NO_ANSWER),
    (484, LineOutcome.BAD_NUMBER),
    (486, LineOutcome.BUSY),
    (487, LineOutcome.NO_ANSWER),
    (600, LineOutcome.BUSY),
    (603, LineOutcome.CARRIER_BLOCKED),
    (604, LineOutcome.BAD_NUMBER),
    (607, LineOutcome.CARRIER_BLOCKED),
    (608, LineOutcome.CARRIER_BLOCKED),
]
ERRORS = [
    (21211, LineOutcome.BAD_NUMBER),
    (21214, LineOutcome.BAD_NUMBER),
    (21216, LineOutcome.BAD_NUMBER),
    (21217, LineOutcome.BAD_NUMBER),
    (32016, LineOutcome.FAILED),
    (32017, LineOutcome.CARRIER_BLOCKED),
]


@pytest.mark.parametrize("status", NOT_ANSWERED)
@pytest.mark.parametrize(("sip_code", "expected"), SIP)
def test_the_sip_code_says_more_than_the_status(
    status: CallStatus, sip_code: int, expected: LineOutcome
) -> None:
    """For calls that were not answered."""
    assert line_outcome(status, None, sip_code=sip_code) is expected


@pytest.mark.parametrize("code", [400, 403, 408, 500, 503, 504])
def test_a_sip_code_of_the_network_leaves_it_to_the_status(code: int) -> None:
    """Another time it may work, so nobody is given up for it."""
    assert line_outcome(CallStatus.FAILED, None, sip_code=code) is LineOutcome.FAILED


@pytest.mark.parametrize("status", NOT_ANSWERED)
@pytest.mark.parametrize(("error_code", "expected"), ERRORS)
def test_twilios_error_says_more_than_the_sip_code(
    status: CallStatus, error_code: int, expected: LineOutcome
) -> None:
    """Where it gives one."""
    assert line_outcome(status, None, error_code=error_code) is expected
    assert line_outcome(status, None, error_code=error_code, sip_code=486) is expected


@pytest.mark.parametrize(("sip_code", "_expected"), SIP)
def test_what_we_canceled_says_nothing_of_the_number(sip_code: int, _expected: LineOutcome) -> None:
    """487 is our own doing then."""
    assert line_outcome(CallStatus.CANCELED, None, sip_code=sip_code) is LineOutcome.CANCELED


@pytest.mark.parametrize("status", TERMINAL)
@pytest.mark.parametrize("answered_by", [None, *AnsweredBy])
def test_an_opt_out_outweighs_everything(
    status: CallStatus, answered_by: AnsweredBy | None
) -> None:
    """Whatever the network, detection or the agent says."""
    outcome = line_outcome(
        status,
        answered_by,
        sip_code=404,
        error_code=32017,
        message_left=True,
        opted_out=True,
        over_as_machine=True,
    )
    assert outcome is LineOutcome.OPTED_OUT


@pytest.mark.parametrize("status", [one for one in CallStatus if not one.terminal])
def test_a_call_that_goes_on_has_no_outcome(status: CallStatus) -> None:
    """Answered is not an end, least of all by a person."""
    with pytest.raises(ValueError, match=status.value):
        line_outcome(status, AnsweredBy.HUMAN)


@given(
    status=st.sampled_from(TERMINAL),
    answered_by=st.sampled_from([*MACHINES, AnsweredBy.FAX]),
    sip_code=st.none() | st.integers(100, 699),
    error_code=st.integers(0, 40_000),
    message_left=st.booleans(),
    over_as_machine=st.booleans(),
)
def test_no_machine_is_ever_a_person(
    status: CallStatus,
    answered_by: AnsweredBy,
    sip_code: int | None,
    error_code: int,
    message_left: bool,
    over_as_machine: bool,
) -> None:
    """However the rest comes together."""
    outcome = line_outcome(
        status,
        answered_by,
        sip_code=sip_code,
        error_code=error_code,
        message_left=message_left,
        over_as_machine=over_as_machine,
    )
    assert outcome is not LineOutcome.HUMAN


# -- refused -----------------------------------------------------------------------------------


def told(code: int, status: int) -> CarrierError:
    """The error that the REST client raises for an answer."""
    return carrier_error(code, status)("told", code=code, status=status)


@pytest.mark.parametrize("code", [21211, 21214, 21216, 21217])
def test_a_number_twilio_does_not_call_is_never_dialled(code: int) -> None:
    """And its outcome says so."""
    refusal = refused(told(code, 400))
    assert isinstance(refusal, NeverDial)
    assert refusal.outcome is LineOutcome.BAD_NUMBER
    assert refusal.reason.endswith(".")


@pytest.mark.parametrize(
    ("code", "status", "names"),
    [
        (10001, 403, "not active"),
        (13227, 400, "Geographic permissions"),
        (20001, 400, "log"),
        (20003, 401, "TWILIO_AUTH_TOKEN"),
        (20005, 401, "not active"),
        (20404, 404, "TWILIO_ACCOUNT_SID"),
        (20422, 400, "log"),
        (21201, 400, "log"),
        (21205, 400, "EVERCALL_PUBLIC_URL"),
        (21210, 400, "Verified caller IDs"),
        (21212, 400, "callers"),
        (21213, 400, "log"),
        (21215, 400, "Geographic permissions"),
        (21219, 400, "upgrade"),
        (21626, 400, "log"),
        (22005, 429, "calls per second"),
        (0, 401, "credentials"),
        (0, 403, "permissions"),
    ],
)
def test_what_holds_for_everybody_pauses_the_campaign_with_the_fix(
    code: int, status: int, names: str
) -> None:
    """The sentence names what is to be changed, and that the campaign is then to be resumed."""
    refusal = refused(told(code, status))
    assert isinstance(refusal, PauseCampaign)
    assert refusal.outcome is LineOutcome.NOT_PLACED
    assert names in refusal.fix
    assert refusal.fix.endswith("then resume.")


@pytest.mark.parametrize(
    "error",
    [told(10004, 429), told(10004, 400), told(20429, 429), told(0, 429), CarrierUnreachable("no")],
)
def test_what_was_not_processed_is_for_later(error: CarrierError) -> None:
    """The campaign goes on."""
    refusal = refused(error)
    assert isinstance(refusal, Later)
    assert refusal.outcome is LineOutcome.NOT_PLACED


@pytest.mark.parametrize(
    "error",
    [
        told(20500, 500),
        told(20503, 503),
        told(0, 502),
        told(0, 404),
        told(0, 400),
        told(21220, 400),
        told(29999, 400),
        OutcomeUnknown("time-out"),
        CarrierRejected("a code of tomorrow", code=21999, status=400),
        CallAlreadyOver("odd", status=404),
        CarrierError("nothing known"),
    ],
)
def test_what_is_not_known_is_looked_for(error: CarrierError) -> None:
    """A time-out, a server error, or a code that nobody knows is no proof that there is no call."""
    assert isinstance(refused(error), Reconcile)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (NumberRefused("new", code=29001, status=400), NeverDial),
        (CarrierBusy("new", code=29002, status=429), Later),
        (SettingsRefused("new", code=29003, status=403), PauseCampaign),
    ],
)
def test_a_code_without_a_sentence_goes_by_its_verdict(
    error: CarrierError, expected: type[object]
) -> None:
    """And is named."""
    refusal = refused(error)
    assert isinstance(refusal, expected)
    assert str(error.code) in repr(refusal)


# -- after -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (LineOutcome.HUMAN, Done("A person answered.")),
        (LineOutcome.VOICEMAIL, Again(NOW + timedelta(hours=24))),
        (LineOutcome.MESSAGE_LEFT, Done("A message was left.")),
        (LineOutcome.FAX, Never("A fax machine answered.")),
        (LineOutcome.BUSY, Again(NOW + timedelta(minutes=30))),
        (LineOutcome.NO_ANSWER, Again(NOW + timedelta(hours=4))),
        (LineOutcome.FAILED, Again(NOW + timedelta(hours=2))),
        (
            LineOutcome.CARRIER_BLOCKED,
            Exhausted(
                "The carrier blocked the call, after which this campaign does not call again."
            ),
        ),
        (LineOutcome.BAD_NUMBER, Never("The number cannot be called.")),
        (LineOutcome.CANCELED, Again(NOW + timedelta(minutes=30))),
        (LineOutcome.NOT_PLACED, Again(NOW + timedelta(minutes=5))),
        (LineOutcome.OPTED_OUT, Never("They asked not to be called.")),
    ],
)
def test_what_comes_after_each_outcome(outcome: LineOutcome, expected: Next) -> None:
    """With the defaults, after the first attempt."""
    assert after(CONTACT, outcome, Attempts(), NOW) == expected


def test_the_table_above_has_every_outcome() -> None:
    """A new one must be thought about here."""
    (mark,) = test_what_comes_after_each_outcome.pytestmark  # type: ignore[attr-defined]
    assert {row[0] for row in mark.args[1]} == set(LineOutcome)


@pytest.mark.parametrize("outcome", sorted(set(DEFAULT_SPACING) - {LineOutcome.NOT_PLACED}))
def test_nobody_is_called_more_often_than_allowed(outcome: LineOutcome) -> None:
    """The second of three is followed by another, the third is not."""
    assert isinstance(after(replace(CONTACT, attempts=2), outcome, Attempts(), NOW), Again)
    last = after(replace(CONTACT, attempts=3), outcome, Attempts(), NOW)
    assert isinstance(last, Exhausted)
    assert last.reason.startswith("Called 3 times, as often as allowed; the last time ")


def test_a_limit_of_one_is_once() -> None:
    """In words."""
    last = after(CONTACT, LineOutcome.BUSY, Attempts(most=1), NOW)
    assert last == Exhausted("Called once, as often as allowed; the last time the line was busy.")


@pytest.mark.parametrize("outcome", sorted(DEFAULT_SPACING))
def test_an_outcome_without_spacing_is_not_tried_again(outcome: LineOutcome) -> None:
    """That is how a campaign's file says so."""
    assert isinstance(after(CONTACT, outcome, Attempts(spacing={}), NOW), Exhausted)


@pytest.mark.parametrize(
    "outcome",
    [LineOutcome.HUMAN, LineOutcome.MESSAGE_LEFT, LineOutcome.FAX, LineOutcome.CARRIER_BLOCKED],
)
def test_a_file_may_have_more_tried_again(outcome: LineOutcome) -> None:
    """And who was reached is done with at the end, not exhausted."""
    attempts = Attempts(most=2, spacing={outcome: timedelta(hours=1)})
    assert after(CONTACT, outcome, attempts, NOW) == Again(NOW + timedelta(hours=1))
    last = after(replace(CONTACT, attempts=2), outcome, attempts, NOW)
    reached = outcome in (LineOutcome.HUMAN, LineOutcome.MESSAGE_LEFT)
    assert isinstance(last, Done) is reached


@pytest.mark.parametrize("outcome", [LineOutcome.OPTED_OUT, LineOutcome.BAD_NUMBER])
def test_no_file_has_these_tried_again(outcome: LineOutcome) -> None:
    """Who does not want to be called is not, whatever the spacing."""
    attempts = Attempts(most=9, spacing=dict.fromkeys(LineOutcome, timedelta(0)))
    assert isinstance(after(CONTACT, outcome, attempts, NOW), Never)


@pytest.mark.parametrize("outcome", list(LineOutcome))
def test_who_was_suppressed_during_the_call_stays_so(outcome: LineOutcome) -> None:
    """Whatever came of the call."""
    contact = replace(CONTACT, state=ContactState.NEVER, reason="On the customer's list.")
    decided = after(contact, outcome, Attempts(), NOW)
    assert isinstance(decided, Never)
    if outcome not in (LineOutcome.OPTED_OUT, LineOutcome.BAD_NUMBER):
        assert decided.reason == "On the customer's list."


def test_calls_twilio_never_had_wait_twice_as_long_each_time_and_end() -> None:
    """5 minutes, 10, 20 …, and after the eighth somebody is told."""
    waits = []
    for before in range(NOT_PLACED_MOST - 1):
        contact = replace(CONTACT, attempts=before + 1)
        decided = after(contact, LineOutcome.NOT_PLACED, Attempts(), NOW, not_placed_before=before)
        assert isinstance(decided, Again)
        waits.append((decided.at - NOW) / timedelta(minutes=1))
    assert waits == [5, 10, 20, 40, 80, 160, 320]
    last = after(
        replace(CONTACT, attempts=NOT_PLACED_MOST),
        LineOutcome.NOT_PLACED,
        Attempts(),
        NOW,
        not_placed_before=NOT_PLACED_MOST - 1,
    )
    assert last == Exhausted("Tried 8 times, and Twilio never had the call.")


def test_calls_twilio_never_had_do_not_count() -> None:
    """Two of them and two calls leave the third call; three calls leave none."""
    contact = replace(CONTACT, attempts=4)
    decided = after(contact, LineOutcome.BUSY, Attempts(most=3), NOW, not_placed_before=2)
    assert isinstance(decided, Again)
    contact = replace(CONTACT, attempts=5)
    decided = after(contact, LineOutcome.BUSY, Attempts(most=3), NOW, not_placed_before=2)
    assert isinstance(decided, Exhausted)
    assert decided.reason.startswith("Called 3 times")


@given(
    st.lists(st.sampled_from(sorted(set(DEFAULT_SPACING))), min_size=40, max_size=40),
    st.integers(1, 6),
)
def test_every_contact_comes_to_an_end(outcomes: list[LineOutcome], most: int) -> None:
    """Whatever happens, nobody's phone rings more often than allowed, nobody is tried forever."""
    not_placed = 0
    for made, outcome in enumerate(outcomes, 1):
        decided = after(
            replace(CONTACT, attempts=made),
            outcome,
            Attempts(most=most),
            NOW,
            not_placed_before=not_placed,
        )
        not_placed += outcome is LineOutcome.NOT_PLACED
        if not isinstance(decided, Again):
            assert made - not_placed <= most
            return
        assert decided.at > NOW
        assert made - not_placed < most
        assert not_placed < NOT_PLACED_MOST
    pytest.fail("still going on")


def test_the_wait_is_as_long_as_it_says_over_a_change_of_clocks() -> None:
    """In the night of 7 to 8 March 2026 New York's clocks leap ahead, in November they go back."""
    zone = ZoneInfo("America/New_York")
    for evening in (
        datetime(2026, 3, 7, 20, 0, tzinfo=zone),
        datetime(2026, 10, 31, 20, 0, tzinfo=zone),
    ):
        decided = after(CONTACT, LineOutcome.VOICEMAIL, Attempts(), evening)
        assert isinstance(decided, Again)
        assert decided.at - evening.astimezone(UTC) == timedelta(hours=24)
        assert decided.at.tzinfo is UTC


def test_a_time_without_a_zone_is_refused() -> None:
    """Nobody knows when it is."""
    with pytest.raises(ValueError, match="aware"):
        after(CONTACT, LineOutcome.BUSY, Attempts(), NOW.replace(tzinfo=None))


@pytest.mark.parametrize(
    ("outcome", "before"),
    [(LineOutcome.BUSY, 2), (LineOutcome.NOT_PLACED, 1), (LineOutcome.BUSY, -1)],
)
def test_attempts_that_do_not_add_up_are_refused(outcome: LineOutcome, before: int) -> None:
    """Counted otherwise than here, somebody would be called too often."""
    with pytest.raises(ValueError, match="not_placed_before"):
        after(CONTACT, outcome, Attempts(), NOW, not_placed_before=before)

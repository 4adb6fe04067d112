"""The status of a call moves forward only."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from telephony.calls.status import AnsweredBy, CallStatus, DialStatus, advance

STATUSES = st.sampled_from(CallStatus)


@given(STATUSES, st.lists(STATUSES))
def test_terminal_status_is_never_left(first: CallStatus, reports: list[CallStatus]) -> None:
    """Whatever is reported in whatever order, the first terminal status stays."""
    status, ended_as = first, None
    for report in [first, *reports]:
        status = advance(status, report)
        if ended_as is not None:
            assert status is ended_as
        elif status.terminal:
            ended_as = status


def test_late_ringing_does_not_undo_the_answer() -> None:
    """A stale report is ignored."""
    assert advance(CallStatus.IN_PROGRESS, CallStatus.RINGING) is CallStatus.IN_PROGRESS


def test_ringing_may_be_absent() -> None:
    """Steps may be skipped: a far end that does not alert goes from initiated to answered."""
    assert advance(CallStatus.INITIATED, CallStatus.IN_PROGRESS) is CallStatus.IN_PROGRESS


def test_values_of_tomorrow_have_a_safe_meaning() -> None:
    """An unknown verdict is unknown, an unknown end of a dial is a failure."""
    assert AnsweredBy("robot_dog") is AnsweredBy.UNKNOWN
    assert DialStatus("teleported") is DialStatus.FAILED
    assert not DialStatus("").answered

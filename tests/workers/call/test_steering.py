"""The entry alone decides what comes after a stream."""

from __future__ import annotations

import pytest

from agent.conversation.record import EndReason
from agent.live.session_events import SessionEnd
from agent.spec import AgentSpec, Moves
from telephony.calls.status import CallStatus, DialStatus
from telephony.calls.webhooks import CallRequest, DialEnded
from workers.call.entry import CallEntry, CallState
from workers.call.steering import (
    NO_AGENT_LEFT,
    NOBODY_ANSWERED,
    Apologise,
    DialTransfer,
    HangUp,
    LetGo,
    Reconnect,
    Step,
    after_session,
    after_transfer,
    continue_call,
)

NOW = 1_800_000_000.0
BAKERY = AgentSpec("bakery", "You are a baker.")


def entry(state: CallState, **fields: object) -> CallEntry:
    made = CallEntry("CA1", "AC1", "inbound", "+15550100001", "+15550100002", state=state)
    for name, value in fields.items():
        setattr(made, name, value)
    return made


@pytest.mark.parametrize("reason", list(EndReason))
def test_end_of_a_session_decides(reason: EndReason) -> None:
    """Done calls are hung up; what was lost on our side or the line's gets another stream."""
    expected: dict[EndReason, Step] = {
        EndReason.HANDED_OVER: LetGo(),
        EndReason.STREAM_LOST: Reconnect(),
        EndReason.WORKER_STOPPED: Reconnect(),
        EndReason.INTERNAL_ERROR: Reconnect(),
        EndReason.LIVE_LOST: Apologise(),
        EndReason.LIVE_REFUSED: Apologise(),
        EndReason.MODEL_SILENT: Apologise(),
    }
    assert after_session(SessionEnd(reason)) == expected.get(reason, HangUp())


def test_transfer_by_the_agent_comes_back_to_it() -> None:
    """The agent goes on where its transfer is not answered."""
    end = SessionEnd(EndReason.TRANSFERRED, transfer_to="+15550100009")
    assert after_session(end) == DialTransfer("+15550100009", last_resort=False)


@pytest.mark.parametrize("reason", sorted(NO_AGENT_LEFT))
def test_person_takes_over_where_no_agent_is_left(reason: EndReason) -> None:
    """With a person named, the caller is put through rather than apologised to."""
    end = SessionEnd(reason, "no connection", transfer_to="+15550100009")
    assert after_session(end) == DialTransfer("+15550100009", last_resort=True)


@pytest.mark.parametrize(
    ("call", "step"),
    [
        (entry(CallState.FINISHED), HangUp()),
        (entry(CallState.APOLOGY), Apologise()),
        (entry(CallState.TRANSFER, transfer_to="+15550100009"), DialTransfer("+15550100009")),
        (
            entry(CallState.TRANSFER, transfer_to="+15550100009", last_resort=True),
            DialTransfer("+15550100009", last_resort=True),
        ),
        (entry(CallState.RINGING), Reconnect()),
        (entry(CallState.IN_PROGRESS), Reconnect()),
        (entry(CallState.IN_PROGRESS, lost_at=(NOW - 60, NOW - 20)), Reconnect()),
        (entry(CallState.IN_PROGRESS, lost_at=(NOW - 60, NOW - 40, NOW - 20)), Apologise()),
        (entry(CallState.IN_PROGRESS, lost_at=(NOW - 121, NOW - 40, NOW - 20)), Reconnect()),
        (entry(CallState.HANDED_OVER, lost_at=(NOW - 60, NOW - 40, NOW - 20)), Reconnect()),
        (entry(CallState.IN_PROGRESS, status=CallStatus.COMPLETED), HangUp()),
    ],
)
def test_state_decides(call: CallEntry, step: Step) -> None:
    """A stream may be lost three times within two minutes; the next loss is followed by an apology.

    Hand-overs do not count.
    """
    assert continue_call(call, BAKERY, now=NOW) == step


def test_person_takes_over_where_streams_are_lost_again_and_again() -> None:
    """With a person named, the caller is put through, as a last resort."""
    spec = AgentSpec(
        "bakery",
        "You are a baker.",
        moves=Moves(person="colleague"),
        transfer={"colleague": "+15550100009"},
    )
    call = entry(CallState.IN_PROGRESS, lost_at=(NOW, NOW, NOW))
    assert continue_call(call, spec, now=NOW) == DialTransfer("+15550100009", last_resort=True)


@pytest.mark.parametrize(
    ("status", "bridged", "step"),
    [
        (DialStatus.COMPLETED, True, HangUp()),
        (DialStatus.COMPLETED, None, HangUp()),
        (DialStatus.ANSWERED, None, HangUp()),
        (DialStatus.COMPLETED, False, Reconnect(NOBODY_ANSWERED)),
        (DialStatus.NO_ANSWER, None, Reconnect(NOBODY_ANSWERED)),
        (DialStatus.BUSY, False, Reconnect(NOBODY_ANSWERED)),
        (DialStatus.FAILED, None, Reconnect(NOBODY_ANSWERED)),
    ],
)
def test_unanswered_transfer_comes_back(
    status: DialStatus, bridged: bool | None, step: Step
) -> None:
    """The caller returns to the agent unless two spoke."""
    assert after_transfer(entry(CallState.TRANSFER), ended(status, bridged)) == step


@pytest.mark.parametrize(
    ("status", "bridged", "step"),
    [
        (DialStatus.COMPLETED, True, HangUp()),
        (DialStatus.COMPLETED, False, Apologise()),
        (DialStatus.NO_ANSWER, None, Apologise()),
        (DialStatus.BUSY, False, Apologise()),
        (DialStatus.FAILED, None, Apologise()),
    ],
)
@pytest.mark.parametrize("state", [CallState.TRANSFER, CallState.FINISHED])
def test_last_resort_that_does_not_answer_ends_in_the_apology(
    state: CallState, status: DialStatus, bridged: bool | None, step: Step
) -> None:
    """The caller is not given back to a dead session, however often Twilio asks."""
    assert after_transfer(entry(state, last_resort=True), ended(status, bridged)) == step


def test_caller_who_gave_up_is_not_reconnected() -> None:
    """The action is also asked when the caller hung up while it rang."""
    gone = ended(DialStatus.NO_ANSWER, None, CallStatus.COMPLETED)
    for last_resort in (False, True):
        call = entry(CallState.TRANSFER, last_resort=last_resort)
        assert after_transfer(call, gone) == HangUp()


def ended(
    status: DialStatus, bridged: bool | None, call: CallStatus = CallStatus.IN_PROGRESS
) -> DialEnded:
    return DialEnded(CallRequest("CA1", "AC1", "inbound", "", "", call, None), status, bridged)

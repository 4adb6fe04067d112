"""The entry alone decides what comes after a stream."""

from __future__ import annotations

import pytest

from telephony.calls.status import CallStatus, DialStatus
from telephony.calls.webhooks import CallRequest, DialEnded
from workers.call.active import CallEntry, CallState
from workers.call.steering import (
    NOBODY_ANSWERED,
    Apologise,
    DialTransfer,
    HangUp,
    Reconnect,
    Step,
    after_transfer,
    continue_call,
)


def entry(state: CallState, **fields: object) -> CallEntry:
    made = CallEntry("CA1", "AC1", "inbound", "+15550100001", "+15550100002", state=state)
    for name, value in fields.items():
        setattr(made, name, value)
    return made


@pytest.mark.parametrize(
    ("call", "step"),
    [
        (entry(CallState.FINISHED), HangUp()),
        (entry(CallState.APOLOGY), Apologise()),
        (entry(CallState.TRANSFER, transfer_to="+15550100009"), DialTransfer("+15550100009")),
        (entry(CallState.RINGING), Reconnect()),
        (entry(CallState.IN_PROGRESS), Reconnect()),
        (entry(CallState.IN_PROGRESS, reconnects=1), Reconnect()),
        (entry(CallState.IN_PROGRESS, reconnects=2), Apologise()),
        (entry(CallState.IN_PROGRESS, status=CallStatus.COMPLETED), HangUp()),
    ],
)
def test_state_decides(call: CallEntry, step: Step) -> None:
    """An unfinished call gets another stream at most twice, then an apology."""
    assert continue_call(call) == step


@pytest.mark.parametrize(
    ("status", "bridged", "step"),
    [
        (DialStatus.COMPLETED, True, HangUp()),
        (DialStatus.COMPLETED, None, HangUp()),
        (DialStatus.ANSWERED, None, HangUp()),
        (DialStatus.COMPLETED, False, Reconnect(NOBODY_ANSWERED, lost=False)),
        (DialStatus.NO_ANSWER, None, Reconnect(NOBODY_ANSWERED, lost=False)),
        (DialStatus.BUSY, False, Reconnect(NOBODY_ANSWERED, lost=False)),
        (DialStatus.FAILED, None, Reconnect(NOBODY_ANSWERED, lost=False)),
    ],
)
def test_unanswered_transfer_comes_back(
    status: DialStatus, bridged: bool | None, step: Step
) -> None:
    """The caller returns to the agent unless two spoke."""
    assert after_transfer(ended(status, bridged)) == step


def test_caller_who_gave_up_is_not_reconnected() -> None:
    """The action is also asked when the caller hung up while it rang."""
    assert after_transfer(ended(DialStatus.NO_ANSWER, None, CallStatus.COMPLETED)) == HangUp()


def ended(
    status: DialStatus, bridged: bool | None, call: CallStatus = CallStatus.IN_PROGRESS
) -> DialEnded:
    return DialEnded(CallRequest("CA1", "AC1", "inbound", "", "", call, None), status, bridged)

"""Twilio's requests are read whole: what is known, and without tripping over what is not."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest

from telephony.calls.status import AnsweredBy, CallStatus, DialStatus
from telephony.calls.webhooks import (
    Form,
    StreamEvent,
    read_amd_report,
    read_call_request,
    read_dial_ended,
    read_status_report,
    read_stream_report,
)
from telephony.errors import MalformedWebhook


def form(**fields: str) -> Form:
    return Form(urlencode(fields).encode())


CALL = {
    "CallSid": "CA1",
    "AccountSid": "AC1",
    "From": "+15550100001",
    "To": "+15550100002",
    "CallStatus": "ringing",
    "Direction": "inbound",
}


def test_unknown_fields_are_accepted() -> None:
    """Twilio adds fields without notice."""
    request = read_call_request(form(**CALL, FromCity="", NewField="1"))
    assert request.from_ == "+15550100001"
    assert request.status is CallStatus.RINGING
    assert request.answered_by is None


@pytest.mark.parametrize("missing", ["CallSid", "AccountSid", "CallStatus"])
def test_request_without_identity_is_malformed(missing: str) -> None:
    """Call, account and status are in every request for TwiML."""
    with pytest.raises(MalformedWebhook, match=missing):
        read_call_request(form(**{**CALL, missing: ""}))


def test_dial_result_says_whether_two_spoke() -> None:
    """``DialBridged`` is read where Twilio sends it."""
    ended = read_dial_ended(form(**CALL, DialCallStatus="no-answer", DialBridged="false"))
    assert ended.status is DialStatus.NO_ANSWER
    assert ended.bridged is False
    assert read_dial_ended(form(**CALL, DialCallStatus="completed")).bridged is None


def test_status_report_counts_seconds() -> None:
    """``Duration`` is in minutes and is left alone."""
    report = read_status_report(
        form(
            **{**CALL, "CallStatus": "completed"},
            CallDuration="61",
            Duration="2",
            SequenceNumber="3",
            SipResponseCode="200",
        )
    )
    assert (report.duration_s, report.sequence_number, report.sip_response_code) == (61, 3, 200)


def test_stream_report_carries_the_error() -> None:
    """A failed handshake is explained here and nowhere else."""
    report = read_stream_report(
        form(CallSid="CA1", StreamSid="MZ1", StreamEvent="stream-error", StreamError="31920")
    )
    assert (report.event, report.error) == (StreamEvent.ERROR, "31920")
    assert read_stream_report(form(CallSid="CA1")).event is StreamEvent.UNKNOWN


def test_amd_report_is_read() -> None:
    """The verdict comes with the time it took."""
    report = read_amd_report(
        form(CallSid="CA1", AnsweredBy="machine_start", MachineDetectionDuration="3120")
    )
    assert (report.answered_by, report.duration_ms) == (AnsweredBy.MACHINE_START, 3120)

"""Twilio's requests as plain data.

Unknown fields are accepted, because Twilio adds them without notice; blank ones are kept, because
they are signed.
Source: twilio.com/docs/voice/twiml (requests), docs/usage/webhooks/webhooks-security.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import parse_qsl

from telephony.calls.status import AnsweredBy, CallStatus, DialStatus
from telephony.errors import MalformedWebhook

# Twilio's own requests have some 40 fields; SIP headers add to them.
MAX_FIELDS = 1000


class Form:
    """The fields of a form body, repeated and blank ones included."""

    def __init__(self, body: bytes) -> None:
        """Parse a form body.

        Raises:
            MalformedWebhook: not UTF-8, or more than ``MAX_FIELDS`` fields.
        """
        try:
            pairs = parse_qsl(
                body.decode(), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS
            )
        except ValueError as error:
            raise MalformedWebhook("the body is not a form in UTF-8") from error
        self._values: dict[str, list[str]] = {}
        for name, value in pairs:
            self._values.setdefault(name, []).append(value)

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def getlist(self, name: str) -> list[str]:
        """Every value of a field; the SDK's validator asks for them under this name."""
        return self._values.get(name, [])

    def get(self, name: str) -> str | None:
        """A field's first value; None where it is absent or blank."""
        values = self._values.get(name)
        return values[0] or None if values else None

    def required(self, name: str) -> str:
        """A field's first value.

        Raises:
            MalformedWebhook: it is absent or blank.
        """
        value = self.get(name)
        if value is None:
            raise MalformedWebhook(f"no {name}")
        return value

    def integer(self, name: str) -> int | None:
        """A field as a number; None where it is absent or none."""
        try:
            return int(self.get(name) or "")
        except ValueError:
            return None

    def plain(self) -> Mapping[str, str]:
        """Every field with its first value, blank ones left out."""
        return {name: values[0] for name, values in self._values.items() if values[0]}


@dataclass(frozen=True, slots=True)
class CallRequest:
    """A request for TwiML: a new call, or one whose last verb has ended."""

    call_sid: str
    account_sid: str
    direction: str
    """``inbound``, ``outbound-api`` or ``outbound-dial``."""
    from_: str
    """Often a number, but also ``client:…``, a SIP address or ``anonymous``."""
    to: str
    status: CallStatus
    answered_by: AnsweredBy | None


@dataclass(frozen=True, slots=True)
class DialEnded:
    """A ``<Dial>`` has ended; ``request`` asks what is next."""

    request: CallRequest
    status: DialStatus
    bridged: bool | None
    """``DialBridged``: whether the two really spoke; None where Twilio did not say."""


@dataclass(frozen=True, slots=True)
class StatusReport:
    """A status callback of a call."""

    call_sid: str
    status: CallStatus
    sequence_number: int | None
    duration_s: int | None
    sip_response_code: int | None
    answered_by: AnsweredBy | None


class StreamEvent(StrEnum):
    """``StreamEvent``; ``unknown`` for values of tomorrow."""

    STARTED = "stream-started"
    STOPPED = "stream-stopped"
    ERROR = "stream-error"
    UNKNOWN = "unknown"

    @classmethod
    def _missing_(cls, value: object) -> StreamEvent:
        return cls.UNKNOWN


@dataclass(frozen=True, slots=True)
class StreamReport:
    """A stream status callback: the only word about a handshake that failed."""

    call_sid: str
    stream_sid: str | None
    event: StreamEvent
    error: str | None


@dataclass(frozen=True, slots=True)
class AmdReport:
    """The verdict of answering machine detection; it may come after the call's end."""

    call_sid: str
    answered_by: AnsweredBy
    duration_ms: int | None


def read_call_request(form: Form) -> CallRequest:
    """Read a request for TwiML.

    Raises:
        MalformedWebhook: call or account are not named, or the status is none of Twilio's.
    """
    return CallRequest(
        call_sid=form.required("CallSid"),
        account_sid=form.required("AccountSid"),
        direction=form.get("Direction") or "inbound",
        from_=form.get("From") or "",
        to=form.get("To") or "",
        status=_status(form),
        answered_by=_answered_by(form),
    )


def read_dial_ended(form: Form) -> DialEnded:
    """Read the request to a ``<Dial>``'s action.

    Raises:
        MalformedWebhook: as for a call request.
    """
    bridged = form.get("DialBridged")
    return DialEnded(
        request=read_call_request(form),
        status=DialStatus(form.get("DialCallStatus") or ""),
        bridged=None if bridged is None else bridged.lower() == "true",
    )


def read_status_report(form: Form) -> StatusReport:
    """Read a status callback.

    Raises:
        MalformedWebhook: the call is not named, or the status is none of Twilio's.
    """
    return StatusReport(
        call_sid=form.required("CallSid"),
        status=_status(form),
        sequence_number=form.integer("SequenceNumber"),
        # Seconds; "Duration" is in minutes.
        duration_s=form.integer("CallDuration"),
        sip_response_code=form.integer("SipResponseCode"),
        answered_by=_answered_by(form),
    )


def read_stream_report(form: Form) -> StreamReport:
    """Read a stream status callback.

    Raises:
        MalformedWebhook: the call is not named.
    """
    return StreamReport(
        call_sid=form.required("CallSid"),
        stream_sid=form.get("StreamSid"),
        event=StreamEvent(form.get("StreamEvent") or ""),
        error=form.get("StreamError"),
    )


def read_amd_report(form: Form) -> AmdReport:
    """Read an asynchronous verdict of answering machine detection.

    Raises:
        MalformedWebhook: call or verdict are missing.
    """
    return AmdReport(
        call_sid=form.required("CallSid"),
        answered_by=AnsweredBy(form.required("AnsweredBy")),
        duration_ms=form.integer("MachineDetectionDuration"),
    )


def _status(form: Form) -> CallStatus:
    try:
        return CallStatus(form.required("CallStatus"))
    except ValueError as error:
        raise MalformedWebhook("CallStatus is none of Twilio's") from error


def _answered_by(form: Form) -> AnsweredBy | None:
    value = form.get("AnsweredBy")
    return None if value is None else AnsweredBy(value)

"""Call and phone number resources, and their JSON as Twilio's REST API shows it.

Source: twilio/twilio-oai (OpenAPI examples); twilio.com/docs/voice/api/call-resource.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import format_datetime
from typing import Any

from workers.twin.twilio_api import states

API_VERSION = "2010-04-01"
_SUBRESOURCES = {
    "notifications": "Notifications",
    "recordings": "Recordings",
    "payments": "Payments",
    "events": "Events",
    "siprec": "Siprec",
    "streams": "Streams",
    "transcriptions": "Transcriptions",
    "user_defined_message_subscriptions": "UserDefinedMessageSubscriptions",
    "user_defined_messages": "UserDefinedMessages",
    "twiml_sessions": "TwimlSessions",
}


# What Twilio tells where nothing else happened: 487 marks its own ring time-out or cancelling
# (Twilio reference, 5.1).
_SIP_CODES = {
    states.COMPLETED: 200,
    states.BUSY: 486,
    states.NO_ANSWER: 487,
    states.CANCELED: 487,
}


def new_sid(prefix: str) -> str:
    """Make an identifier: two letters and 32 hexadecimal digits."""
    return prefix + secrets.token_hex(16)


@dataclass(slots=True)
class CallFacts:
    """What Twilio knows of a call; it outlives the call."""

    account_sid: str
    from_: str
    to: str
    direction: str
    created_at: datetime
    state: str = states.QUEUED
    sid: str = field(default_factory=lambda: new_sid("CA"))
    parent_call_sid: str | None = None
    answered_at: datetime | None = None
    ended_at: datetime | None = None
    answered_by: str | None = None
    sip_code: int | None = None
    """How the far end's network ended it, where that is not what Twilio mostly tells."""
    error_code: int = 0
    """What Twilio's debugger says of it."""
    queue_time_ms: int = 0
    """How long it was to be queued, as estimated when it was taken."""

    @property
    def duration_s(self) -> int:
        """Whole seconds from the answer to the end; 0 for a call that was not answered."""
        if self.answered_at is None or self.ended_at is None:
            return 0
        return max(1, round((self.ended_at - self.answered_at).total_seconds()))

    @property
    def sip_response_code(self) -> int | None:
        """Give ``SipResponseCode`` of a call that has ended; None: it is not told."""
        return self.sip_code or _SIP_CODES.get(self.state)

    def as_json(self) -> dict[str, Any]:
        """Write the resource: strings or null throughout, dates in RFC 2822."""
        uri = f"/{API_VERSION}/Accounts/{self.account_sid}/Calls/{self.sid}"
        ended = self.state in states.TERMINAL
        # Observed by others: an unanswered call shows start and end at its end.
        started = self.answered_at or (self.ended_at if ended else None)
        return {
            "sid": self.sid,
            "account_sid": self.account_sid,
            "parent_call_sid": self.parent_call_sid,
            "phone_number_sid": None,
            "to": self.to,
            "to_formatted": self.to,
            "from": self.from_,
            "from_formatted": self.from_,
            "status": states.shown(self.state),
            "direction": self.direction,
            "start_time": _rfc2822(started),
            "end_time": _rfc2822(self.ended_at),
            "date_created": _rfc2822(self.created_at),
            "date_updated": _rfc2822(self.ended_at or self.answered_at or self.created_at),
            "duration": str(self.duration_s) if ended else None,
            "price": None,
            "price_unit": "USD",
            "answered_by": self.answered_by,
            "annotation": None,
            "api_version": API_VERSION,
            "caller_name": None,
            "forwarded_from": None,
            "group_sid": None,
            "queue_time": str(self.queue_time_ms),
            "trunk_sid": None,
            "uri": f"{uri}.json",
            "subresource_uris": {
                name: f"{uri}/{path}.json" for name, path in _SUBRESOURCES.items()
            },
        }


@dataclass(frozen=True, slots=True)
class Notification:
    """A line of Twilio's debugger about a call."""

    facts: CallFacts
    message: str

    def as_json(self) -> dict[str, Any]:
        """Write the resource; its SID is the call's, as there is one line at most."""
        facts = self.facts
        sid = "NO" + facts.sid[2:]
        return {
            "sid": sid,
            "account_sid": facts.account_sid,
            "call_sid": facts.sid,
            "api_version": API_VERSION,
            "error_code": str(facts.error_code),
            "log": "0",
            "message_text": self.message,
            "message_date": _rfc2822(facts.ended_at),
            "more_info": f"https://www.twilio.com/docs/errors/{facts.error_code}",
            "request_method": None,
            "request_url": None,
            "date_created": _rfc2822(facts.ended_at),
            "date_updated": _rfc2822(facts.ended_at),
            "uri": f"/{API_VERSION}/Accounts/{facts.account_sid}/Notifications/{sid}.json",
        }


@dataclass(slots=True)
class PhoneNumber:
    """A number of the account and where its calls go."""

    account_sid: str
    phone_number: str
    sid: str = field(default_factory=lambda: new_sid("PN"))
    friendly_name: str = ""
    voice_url: str = ""
    voice_method: str = "POST"
    voice_fallback_url: str = ""
    voice_fallback_method: str = "POST"
    status_callback: str = ""
    status_callback_method: str = "POST"
    voice_application_sid: str = ""
    """Takes the number's calls in place of its webhooks; shown, not simulated, as is a trunk."""
    trunk_sid: str = ""

    def as_json(self) -> dict[str, Any]:
        """Write the resource."""
        return {
            "sid": self.sid,
            "account_sid": self.account_sid,
            "phone_number": self.phone_number,
            "friendly_name": self.friendly_name or self.phone_number,
            "voice_url": self.voice_url,
            "voice_method": self.voice_method,
            "voice_fallback_url": self.voice_fallback_url,
            "voice_fallback_method": self.voice_fallback_method,
            "voice_application_sid": self.voice_application_sid,
            "trunk_sid": self.trunk_sid,
            "voice_caller_id_lookup": False,
            "status_callback": self.status_callback,
            "status_callback_method": self.status_callback_method,
            "capabilities": {"voice": True, "sms": False, "mms": False, "fax": False},
            "api_version": API_VERSION,
            "origin": "twilio",
            "status": "in-use",
            "uri": f"/{API_VERSION}/Accounts/{self.account_sid}"
            f"/IncomingPhoneNumbers/{self.sid}.json",
        }


def _rfc2822(at: datetime | None) -> str | None:
    return None if at is None else format_datetime(at)

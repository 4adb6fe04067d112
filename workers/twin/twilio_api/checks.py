"""What Twilio's REST API accepts when a call is ordered or changed, and with which code it refuses.

Source: twilio.com/docs/voice/api/call-resource; the codes' pages under twilio.com/docs/api/errors.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from urllib.parse import urlsplit

from workers.twin.twilio_api import states, twiml_reader
from workers.twin.twilio_api.codes import REST_ERRORS
from workers.twin.twilio_api.order import CallOrder, Detection, StatusCallback
from workers.twin.twilio_api.program import DocumentFetched, Fetch

MAX_TWIML_CHARS = 4000  # twilio.com/docs/api/errors/32018
_E164 = re.compile(r"\+[1-9]\d{6,14}")
_DIGITS = re.compile(r"[0-9A-Da-d#*wW]{1,32}")

Form = Mapping[str, Sequence[str]]


class RestRefused(Exception):
    """A request that is answered with one of Twilio's errors."""

    def __init__(self, code: int, detail: str = "") -> None:
        self.code = code
        self.http_status, self.message = REST_ERRORS[code]
        if detail:
            self.message = f"{self.message}: {detail}"
        super().__init__(f"{code}: {self.message}")


def field(form: Form, name: str, default: str = "") -> str:
    """Give the last value of a field, as a form's reader does."""
    values = form.get(name)
    return values[-1] if values else default


def check_numbers(form: Form, owned: Collection[str]) -> tuple[str, str]:
    """Check ``To`` and ``From``; ``owned`` are the account's numbers, any number if empty."""
    to, from_ = field(form, "To"), field(form, "From")
    if not to:
        raise RestRefused(21201)
    if not from_:
        raise RestRefused(21213)
    if not to.startswith(("client:", "sip:")) and not _E164.fullmatch(to):
        raise RestRefused(21211, to)
    if not from_.startswith(("client:", "sip:")) and not _E164.fullmatch(from_):
        raise RestRefused(21212, from_)
    if to == from_:
        raise RestRefused(21211, "To is From")
    if owned and from_ not in owned:
        raise RestRefused(21210, from_)
    return to, from_


def check_order(form: Form) -> CallOrder:
    """Check everything else of ``POST /Calls.json``."""
    digits = field(form, "SendDigits")
    if digits and not _DIGITS.fullmatch(digits):
        raise RestRefused(20422, f"SendDigits {digits}")
    return CallOrder(
        first=check_document(form),
        fallback_url=_url(form, "FallbackUrl"),
        status_callback=_status_callback(form),
        ring_timeout_s=_seconds(form, "Timeout", 60, 600),
        time_limit_s=_seconds(form, "TimeLimit", 4 * 3600, 24 * 3600),
        send_digits=digits,
        # SendDigits disables detection (twilio.com/docs/voice/api/call-resource).
        detection=None if digits else _detection(form),
    )


def check_document(form: Form) -> Fetch | DocumentFetched:
    """Check ``Url`` and ``Twiml``; with both, ``Url`` wins."""
    url = _url(form, "Url")
    if url:
        return Fetch(url, field(form, "Method", "POST").upper())
    text = field(form, "Twiml")
    if not text:
        raise RestRefused(21205, "neither Url nor Twiml")
    if len(text) > MAX_TWIML_CHARS:
        raise RestRefused(32018)
    try:
        return DocumentFetched(twiml_reader.parse(text.encode()), "")
    except twiml_reader.TwimlRefused as error:
        raise RestRefused(20422, f"Twiml: {error.detail}") from error


def check_status(form: Form, state: str) -> str | None:
    """Check ``Status`` of an update; return the state to end in, None if it is not given."""
    wanted = field(form, "Status")
    if not wanted:
        return None
    if wanted not in (states.COMPLETED, states.CANCELED):
        raise RestRefused(20422, f"Status {wanted}")
    # Open point 3 of the Twilio reference; the dictionary has only this code for it.
    if state in states.TERMINAL:
        raise RestRefused(21220)
    if state == states.IN_PROGRESS:
        if wanted == states.CANCELED:
            raise RestRefused(21220)
        return states.COMPLETED
    return states.CANCELED


def _status_callback(form: Form) -> StatusCallback | None:
    url = _url(form, "StatusCallback")
    if not url:
        return None
    events = frozenset(form.get("StatusCallbackEvent") or ["completed"])
    # A space-joined list arrives as one unknown event (Twilio reference, section 4).
    if not events <= states.EVENTS:
        raise RestRefused(21626, ", ".join(sorted(events - states.EVENTS)))
    return StatusCallback(url, field(form, "StatusCallbackMethod", "POST").upper(), events)


def _detection(form: Form) -> Detection | None:
    mode = field(form, "MachineDetection")
    if not mode:
        return None
    if mode not in ("Enable", "DetectMessageEnd"):
        raise RestRefused(20422, f"MachineDetection {mode}")
    message_end = mode == "DetectMessageEnd"
    written = field(form, "MachineDetectionTimeout", "30")
    if not written.isdigit() or not 3 <= int(written) <= 59:
        raise RestRefused(21234, f"MachineDetectionTimeout {written}")
    timeout_s = float(written)
    if field(form, "AsyncAmd", "false") != "true":
        return Detection(message_end, timeout_s)
    callback = _url(form, "AsyncAmdStatusCallback")
    if not callback:
        raise RestRefused(21262)
    method = field(form, "AsyncAmdStatusCallbackMethod", "POST").upper()
    return Detection(message_end, timeout_s, callback, method)


def _url(form: Form, name: str) -> str:
    url = field(form, name)
    if url:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise RestRefused(21205, f"{name} {url}")
    return url


def _seconds(form: Form, name: str, default: int, most: int) -> float:
    written = field(form, name)
    if not written:
        return default
    if not written.isdigit() or not 0 < int(written) <= most:
        raise RestRefused(20422, f"{name} {written}")
    return int(written)

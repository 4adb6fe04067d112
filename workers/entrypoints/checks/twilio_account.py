"""Twilio's side: the account, its number's webhooks, and our clock beside Twilio's."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx

from telephony.calls import twiml
from telephony.calls.rest import OwnNumber, TwilioRest
from telephony.errors import CarrierError, Verdict
from telephony.settings import TwilioSettings
from workers.entrypoints.checks.configured import mend_of
from workers.entrypoints.checks.finding import Finding, fail, ok, warn
from workers.entrypoints.checks.trust import trusted

API_URL = "https://api.twilio.com"
MAX_CLOCK_OFFSET_S = 30.0
HTTP_TIMEOUT_S = 8.0

_POINT = "run `evercall doctor --point-number`"


async def check_account(settings: TwilioSettings) -> list[Finding]:
    """Account SID and auth token open the REST API."""
    started = time.monotonic()
    try:
        async with TwilioRest(settings) as rest:
            await rest.list_calls(limit=1)
    except CarrierError as error:
        return [_refused(error)]
    return [ok(f"credentials accepted after {time.monotonic() - started:.1f} s")]


async def check_number(
    settings: TwilioSettings, phone_number: str, *, point: bool
) -> list[Finding]:
    """Calls to our number come to this worker; with ``point`` they are made to."""
    try:
        async with TwilioRest(settings) as rest:
            number = await rest.find_number(phone_number)
            if number is None or number.phone_number != phone_number:
                text = f"EVERCALL_PHONE_NUMBER: the account has no number {phone_number}"
                return [fail(text, "set it to one of the account's numbers, or buy one")]
            if point:
                number = await rest.point_number(number.sid)
    except CarrierError as error:
        return [_refused(error)]
    return _number_findings(settings, number, pointed=point)


async def check_clock(
    base_url: str | None, ca_file: Path | None, *, now: Callable[[], float] = time.time
) -> list[Finding]:
    """Our clock agrees with the ``Date`` of Twilio's answer, whatever it answers."""
    try:
        tls = await asyncio.to_thread(trusted, ca_file)
        # As the REST client does: no proxy.
        async with httpx.AsyncClient(verify=tls, timeout=HTTP_TIMEOUT_S, trust_env=False) as http:
            before = now()
            answer = await http.get(base_url or API_URL)
            after = now()
        theirs = parsedate_to_datetime(answer.headers["date"]).timestamp()
    except (httpx.HTTPError, OSError) as error:
        text = f"Twilio does not answer: {str(error) or type(error).__name__}"
        return [fail(text, "look at this host's way to the internet")]
    except (KeyError, ValueError):
        return [warn("Twilio's answer has no date", "look at EVERCALL_TWILIO_BASE_URL")]
    # Whole seconds, cut off: on average it was half a second later.
    offset_s = (before + after) / 2 - (theirs + 0.5)
    if abs(offset_s) > MAX_CLOCK_OFFSET_S:
        direction = "ahead of" if offset_s > 0 else "behind"
        return [
            fail(
                f"this host's clock is {abs(offset_s):.0f} s {direction} Twilio's; certificates "
                "and stream tickets depend on it",
                "turn on time synchronisation, such as `timedatectl set-ntp true`",
            )
        ]
    return [ok(f"within {max(1.0, abs(offset_s)):.0f} s of Twilio's")]


def _number_findings(
    settings: TwilioSettings, number: OwnNumber, *, pointed: bool
) -> list[Finding]:
    if number.diverted_to:
        # twilio-oai, IncomingPhoneNumber: with either, the number's own webhooks are ignored.
        text = f"its calls go to {number.diverted_to}, a TwiML application or SIP trunk"
        return [fail(text, _POINT)]
    voice_url, status_url = settings.url(twiml.VOICE_PATH), settings.url(twiml.STATUS_PATH)
    # A fragment holds connection overrides and is not part of the address (webhooks-connection-
    # overrides).
    asked = number.voice_url.partition("#")[0]
    if asked != voice_url:
        where = f"goes to {asked}" if asked else "is not set"
        return [fail(f"the voice webhook {where}, not to {voice_url}", _POINT)]
    if number.voice_method.upper() != "POST":
        return [fail(f"the voice webhook is asked by {number.voice_method}, not POST", _POINT)]
    if number.status_callback.partition("#")[0] != status_url:
        text = f"the status callback is not {status_url}: ends of calls are noticed late"
        return [warn(text, _POINT)]
    return [ok(f"{number.phone_number} {'now ' if pointed else ''}calls {voice_url}")]


def _refused(error: CarrierError) -> Finding:
    if error.verdict is Verdict.MEND_SETTINGS:
        return fail(str(error), mend_of(str(error).partition(":")[0].partition(",")[0]))
    return fail(str(error), "look at this host's way to the internet, and at status.twilio.com")

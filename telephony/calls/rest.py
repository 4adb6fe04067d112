"""Ask Twilio: dial, hang up, redirect, send digits, transfer, look at calls and numbers.

Through the SDK, with our own transport underneath: the SDK's has no time-out, no base URL and
logs phone numbers. Every request ends by ``rest_timeout_s``; what that leaves in doubt is
``OutcomeUnknown``, never "failed", because creating a call has no idempotency key.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Self

import aiohttp
from twilio.base.exceptions import TwilioException
from twilio.rest import Client

from telephony.calls import twiml
from telephony.calls.http import GARBLED, Http
from telephony.calls.status import AnsweredBy, CallStatus
from telephony.errors import (
    CallAlreadyOver,
    CarrierUnreachable,
    OutcomeUnknown,
    SettingsRefused,
)
from telephony.settings import TwilioSettings

# Twilio's form: at most 32 of these (docs/voice/api/call-resource, SendDigits).
_DIGITS = re.compile(r"[0-9A-D#*wW]{1,32}")


@dataclass(frozen=True, slots=True)
class Call:
    """A call as the REST API shows it, which may be later than the callbacks."""

    sid: str
    status: CallStatus | None
    """None for a value of tomorrow."""
    direction: str
    from_: str
    to: str
    created_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    duration_s: int | None
    answered_by: AnsweredBy | None
    queue_time_ms: int | None
    """How long Twilio will hold it before it dials; none of ours should wait there."""


@dataclass(frozen=True, slots=True)
class OwnNumber:
    """One of the account's numbers and the webhooks it is set to."""

    sid: str
    phone_number: str
    voice_url: str
    voice_method: str
    status_callback: str
    diverted_to: str = ""
    """The TwiML application or SIP trunk that takes its calls; its webhooks are then ignored."""


class TwilioRest:
    """One account's REST API. Made within the event loop that uses it, closed with ``close``."""

    def __init__(self, settings: TwilioSettings) -> None:
        self._settings = settings
        self._http = Http(settings)
        self._client = Client(
            settings.account_sid,
            settings.auth_token,
            http_client=self._http,
            # Not empty, else the SDK reads os.environ: TWILIO_EDGE and TWILIO_REGION would bend
            # the address (field: 127.0.0.1 became 127.dublin.ie1.0.1).
            environment={"TWILIO_REGION": ""},
        )
        # The SDK imports its API (measured: 40 ms warm) when these are first looked at.
        self._calls = self._client.calls
        self._numbers = self._client.incoming_phone_numbers

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Let go of the connections."""
        await self._http.close()

    async def dial(
        self,
        to: str,
        *,
        from_: str | None = None,
        time_limit_s: int = 4 * 3600,
        ring_timeout_s: int = 60,
        machine_detection: Literal["Enable", "DetectMessageEnd"] | None = None,
        attempt_id: int | None = None,
    ) -> Call:
        """Have Twilio call a number and ask ``/voice`` what to do once it is answered.

        Args:
            to: the number.
            from_: caller ID; our own number unless given.
            time_limit_s: the call is cut after it. Always set, the platform's is hours.
            ring_timeout_s: Twilio may add about 5 s; at most 600.
            machine_detection: report who answered to ``/voice/amd`` while the call goes on;
                ``DetectMessageEnd`` reports a machine when its greeting has ended.
            attempt_id: a campaign's attempt, which the requests about the call then name.

        Raises:
            OutcomeUnknown: it may have been dialled; look before dialling again.
            CarrierError: it was not dialled.
        """
        caller_id = from_ or self._settings.phone_number
        if caller_id is None:
            raise SettingsRefused("EVERCALL_PHONE_NUMBER: is not set, so calls have no caller ID")

        def url(path: str) -> str:
            return twiml.attempt_url(self._settings, path, attempt_id)

        options: dict[str, object] = {}
        if machine_detection is not None:
            options = {
                "machine_detection": machine_detection,
                "async_amd": "true",
                "async_amd_status_callback": url(twiml.AMD_PATH),
            }
        created = await self._ask(
            self._calls.create_async(
                to=to,
                from_=caller_id,
                url=url(twiml.VOICE_PATH),
                status_callback=url(twiml.STATUS_PATH),
                # A list, sent as a repeated field: joined by spaces it is silently wrong
                # (vellum #6044).
                status_callback_event=["initiated", "ringing", "answered", "completed"],
                timeout=ring_timeout_s,
                time_limit=time_limit_s,
                **options,
            )
        )
        call = _call(created)
        if not call.sid:
            # An answer of a proxy's, or an empty one: nobody could ever look for this call.
            raise OutcomeUnknown("Twilio's answer names no call")
        return call

    async def hang_up(self, call_sid: str) -> None:
        """End a call; one that is over already is left at that."""
        try:
            await self._ask(self._calls(call_sid).update_async(status="completed"))
        except CallAlreadyOver:
            return

    async def redirect(self, call_sid: str, document: str) -> None:
        """Replace what the call is doing by a TwiML document; an open stream is torn down.

        Asking again does no harm as long as the document only asks what is next: it is then asked
        once more, and a stream that was opened meanwhile ends.

        Raises:
            CallAlreadyOver: it is not in progress.
            OutcomeUnknown: it may have been carried out.
        """
        await self._ask(self._calls(call_sid).update_async(twiml=document))

    async def send_digits(self, call_sid: str, digits: str, *, stream: int = 1) -> None:
        """Have Twilio send DTMF tones, then continue the call after ``stream``, which is torn down.

        Raises:
            ValueError: not 1 to 32 of ``0-9A-D#*wW``.
            CallAlreadyOver: it is not in progress.
        """
        if not _DIGITS.fullmatch(digits):
            raise ValueError("digits must be 1 to 32 of 0-9 A-D # * w W")
        document = twiml.play_digits(self._settings, digits=digits, stream=stream)
        await self.redirect(call_sid, document)

    async def transfer(self, call_sid: str, to: str, *, caller_id: str | None = None) -> None:
        """Connect the caller to a number at once; an open stream is torn down.

        Raises:
            CallAlreadyOver: it is not in progress.
        """
        await self.redirect(call_sid, twiml.dial(self._settings, to=to, caller_id=caller_id))

    async def fetch(self, call_sid: str) -> Call | None:
        """A call; None where the account has no such call."""
        try:
            return _call(await self._ask(self._calls(call_sid).fetch_async(), safe=True))
        except CallAlreadyOver:
            return None

    async def list_calls(
        self,
        *,
        to: str | None = None,
        status: CallStatus | None = None,
        started_after: datetime | None = None,
        limit: int = 50,
    ) -> list[Call]:
        """The newest calls that fit."""
        filters: dict[str, object] = {
            "to": to,
            "status": status.value if status else None,
            "start_time_after": started_after,
        }
        found = await self._ask(
            self._calls.list_async(
                limit=limit, **{name: value for name, value in filters.items() if value is not None}
            ),
            safe=True,
        )
        return [_call(one) for one in found]

    async def find_number(self, phone_number: str) -> OwnNumber | None:
        """One of the account's numbers; None where it has no such number."""
        found = await self._ask(
            self._numbers.list_async(phone_number=phone_number, limit=1),
            safe=True,
        )
        return _own_number(found[0]) if found else None

    async def point_number(self, number_sid: str) -> OwnNumber:
        """Set a number's voice and status webhooks to this worker's public address.

        An application or a trunk that the number was given to is taken off it.
        """
        updated = await self._ask(
            self._numbers(number_sid).update_async(
                voice_url=self._settings.url(twiml.VOICE_PATH),
                voice_method="POST",
                status_callback=self._settings.url(twiml.STATUS_PATH),
                status_callback_method="POST",
                voice_application_sid="",
                trunk_sid="",
            )
        )
        return _own_number(updated)

    async def _ask(self, request: Any, *, safe: bool = False) -> Any:
        """Await one request of the SDK's and turn what it raises into our tree.

        ``safe``: asking twice does no harm, so that doubt is no more than being unreachable.
        """
        doubt = CarrierUnreachable if safe else OutcomeUnknown
        try:
            return await request
        except aiohttp.ClientConnectorError as error:
            raise CarrierUnreachable(f"cannot connect to Twilio: {error.os_error}") from error
        except aiohttp.ConnectionTimeoutError as error:
            raise CarrierUnreachable("cannot connect to Twilio in time") from error
        except TimeoutError as error:
            raise doubt("no answer from Twilio in time") from error
        except (aiohttp.ClientError, TwilioException, *GARBLED) as error:
            raise doubt(f"no usable answer from Twilio: {type(error).__name__}") from error


def _call(instance: Any) -> Call:
    status = instance.status
    return Call(
        sid=instance.sid,
        status=CallStatus(status) if status in set(CallStatus) else None,
        direction=instance.direction or "",
        from_=instance._from or "",
        to=instance.to or "",
        created_at=instance.date_created,
        started_at=instance.start_time,
        ended_at=instance.end_time,
        duration_s=_integer(instance.duration),
        answered_by=AnsweredBy(instance.answered_by) if instance.answered_by else None,
        queue_time_ms=_integer(instance.queue_time),
    )


def _own_number(instance: Any) -> OwnNumber:
    return OwnNumber(
        sid=instance.sid,
        phone_number=instance.phone_number,
        voice_url=instance.voice_url or "",
        voice_method=instance.voice_method or "",
        status_callback=instance.status_callback or "",
        diverted_to=instance.trunk_sid or instance.voice_application_sid or "",
    )


def _integer(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() else None

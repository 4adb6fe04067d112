"""Ask Twilio: dial, hang up, redirect, send digits, transfer, look at calls and numbers.

Through the SDK, with our own transport underneath: the SDK's has no time-out, no base URL and
logs phone numbers. Every request ends by ``rest_timeout_s``; what that leaves in doubt is
``OutcomeUnknown``, never "failed", because creating a call has no idempotency key.
"""

from __future__ import annotations

import json
import re
import ssl
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

import aiohttp
from twilio.base.exceptions import TwilioException
from twilio.http import AsyncHttpClient
from twilio.http.response import Response
from twilio.rest import Client

from telephony.calls import twiml
from telephony.calls.status import AnsweredBy, CallStatus
from telephony.errors import (
    CallAlreadyOver,
    CarrierError,
    CarrierUnreachable,
    OutcomeUnknown,
    SettingsRefused,
    carrier_error,
)
from telephony.settings import TwilioSettings

CONNECT_TIMEOUT_S = 5.0
# Twilio's form: at most 32 of these (docs/voice/api/call-resource, SendDigits).
_DIGITS = re.compile(r"[0-9A-D#*wW]{1,32}")
# Which setting an error is about.
_SETTING_BY_CODE = {
    20003: "TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN",
    20005: "TWILIO_ACCOUNT_SID",
    10001: "TWILIO_ACCOUNT_SID",
    21210: "EVERCALL_PHONE_NUMBER",
    21212: "EVERCALL_PHONE_NUMBER",
    21205: "EVERCALL_PUBLIC_URL",
}
# What reading an answer that is not what it should be can raise.
_GARBLED = (ValueError, KeyError, TypeError, AttributeError)
_NUMBER = re.compile(r"(?<![0-9A-Za-z])\+?\d{7,15}(?![0-9A-Za-z])")


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


class TwilioRest:
    """One account's REST API. Made within the event loop that uses it, closed with ``close``."""

    def __init__(self, settings: TwilioSettings) -> None:
        self._settings = settings
        self._http = _Http(settings)
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
        machine_detection: bool = False,
    ) -> Call:
        """Have Twilio call a number and ask ``/voice`` what to do once it is answered.

        Args:
            to: the number.
            from_: caller ID; our own number unless given.
            time_limit_s: the call is cut after it. Always set, the platform's is hours.
            ring_timeout_s: Twilio may add about 5 s; at most 600.
            machine_detection: report who answered to ``/voice/amd`` while the call goes on.

        Raises:
            OutcomeUnknown: it may have been dialled; look before dialling again.
            CarrierError: it was not dialled.
        """
        caller_id = from_ or self._settings.phone_number
        if caller_id is None:
            raise SettingsRefused("EVERCALL_PHONE_NUMBER: is not set, so calls have no caller ID")
        url = self._settings.url
        options: dict[str, object] = {}
        if machine_detection:
            options = {
                "machine_detection": "Enable",
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
        return _call(created)

    async def hang_up(self, call_sid: str) -> None:
        """End a call; one that is over already is left at that."""
        try:
            await self._ask(self._calls(call_sid).update_async(status="completed"))
        except CallAlreadyOver:
            return

    async def redirect(self, call_sid: str, document: str) -> None:
        """Replace what the call is doing by a TwiML document; an open stream is torn down.

        Raises:
            CallAlreadyOver: it is not in progress.
        """
        await self._ask(self._calls(call_sid).update_async(twiml=document))

    async def send_digits(self, call_sid: str, digits: str) -> None:
        """Have Twilio send DTMF tones, then continue the call; an open stream is torn down.

        Raises:
            ValueError: not 1 to 32 of ``0-9A-D#*wW``.
            CallAlreadyOver: it is not in progress.
        """
        if not _DIGITS.fullmatch(digits):
            raise ValueError("digits must be 1 to 32 of 0-9 A-D # * w W")
        await self.redirect(call_sid, twiml.play_digits(self._settings, digits=digits))

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
        """Set a number's voice and status webhooks to this worker's public address."""
        updated = await self._ask(
            self._numbers(number_sid).update_async(
                voice_url=self._settings.url(twiml.VOICE_PATH),
                voice_method="POST",
                status_callback=self._settings.url(twiml.STATUS_PATH),
                status_callback_method="POST",
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
        except (aiohttp.ClientError, TwilioException, *_GARBLED) as error:
            raise doubt(f"no usable answer from Twilio: {type(error).__name__}") from error


class _Http(AsyncHttpClient):  # type: ignore[misc]  # the SDK has no type information
    """The SDK's port for HTTP, over one aiohttp session."""

    def __init__(self, settings: TwilioSettings) -> None:
        super().__init__(logger=None, is_async=True)
        self._base_url = urlsplit(settings.base_url) if settings.base_url else None
        self._session: aiohttp.ClientSession | None = None
        # Reads the certificates: tens of milliseconds that no call should be held up for.
        self._tls = ssl.create_default_context(cafile=settings.ca_file)
        self._timeout = aiohttp.ClientTimeout(
            total=settings.rest_timeout_s,
            sock_connect=min(CONNECT_TIMEOUT_S, settings.rest_timeout_s),
        )

    # The port's signature; timeout and redirects are our own affair.
    async def request(
        self,
        method: str,
        url: str,
        params: Mapping[str, object] | None = None,
        data: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        auth: Sequence[str] | None = None,
        timeout: float | None = None,
        allow_redirects: bool = False,
    ) -> Response:
        if self._base_url is not None:
            asked = urlsplit(url)
            path = self._base_url.path + asked.path
            url = asked._replace(
                scheme=self._base_url.scheme, netloc=self._base_url.netloc, path=path
            ).geturl()
        if params:
            url = f"{url}{'&' if '?' in url else '?'}{urlencode(params, doseq=True)}"
        given = dict(headers or {})
        if auth:
            given["Authorization"] = "Basic " + b64encode(":".join(auth).encode()).decode()
        async with self._open().request(
            method,
            url,
            # Repeated fields are repeated; aiohttp refuses lists in forms.
            data=urlencode(data, doseq=True).encode() if data else None,
            headers=given,
            allow_redirects=False,
        ) as answer:
            text = await answer.text(errors="replace")
        if answer.status >= 400:
            # Here, because the SDK loses code and status of a list that is refused.
            raise _carrier_error(answer.status, text)
        return Response(answer.status, text, answer.headers)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=self._timeout, connector=aiohttp.TCPConnector(ssl=self._tls)
            )
        return self._session

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


def _carrier_error(status: int, body: str) -> CarrierError:
    """The error that an answer tells, in either of the forms Twilio's services use (RFC 9457)."""
    try:
        told = json.loads(body)
        code = int(told.get("code") or 0)
        text = str(told.get("message") or told.get("detail") or told.get("title") or "")
    except _GARBLED:
        code, text = 0, ""
    setting = _SETTING_BY_CODE.get(20003 if status == 401 and not code else code)
    return carrier_error(code, status)(
        f"{setting + ': ' if setting else ''}Twilio error {code or 'without code'} "
        f"(HTTP {status}): {_NUMBER.sub('…', text) or 'no reason given'}",
        code=code,
        status=status,
    )


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
    )


def _integer(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() else None

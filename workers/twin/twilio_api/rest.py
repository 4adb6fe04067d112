"""Twilio's REST API over HTTP: calls and phone numbers of one account.

Source: twilio/twilio-oai; twilio.com/docs/usage/api.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import secrets
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Protocol
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from workers.twin.twilio_api import checks, states
from workers.twin.twilio_api.call import TwinCall
from workers.twin.twilio_api.checks import Form, RestRefused
from workers.twin.twilio_api.codes import WARNINGS
from workers.twin.twilio_api.order import CallOrder
from workers.twin.twilio_api.paging import page_of
from workers.twin.twilio_api.resources import (
    API_VERSION,
    CallFacts,
    Notification,
    PhoneNumber,
    new_sid,
)
from workers.twin.twilio_api.rest_faults import RestFault

MAX_BODY_BYTES = 256 * 1024

_NUMBER_FIELDS = {
    "FriendlyName": "friendly_name",
    "VoiceUrl": "voice_url",
    "VoiceMethod": "voice_method",
    "VoiceFallbackUrl": "voice_fallback_url",
    "VoiceFallbackMethod": "voice_fallback_method",
    "StatusCallback": "status_callback",
    "StatusCallbackMethod": "status_callback_method",
    "VoiceApplicationSid": "voice_application_sid",
    "TrunkSid": "trunk_sid",
}


class Account(Protocol):
    """What the API reads and changes; the twin implements it."""

    account_sid: str
    most_requests: int | None
    """How many may be served at once; None: any number."""
    on_rest: Callable[[str, str], RestFault | None]
    """Told method and path of each request that may be made; says what goes wrong with it."""

    def accepts(self, user: str, password: str) -> bool:
        """Say whether these are the account's credentials."""

    @property
    def numbers(self) -> Mapping[str, PhoneNumber]:
        """The account's phone numbers."""

    @property
    def facts(self) -> Mapping[str, CallFacts]:
        """The calls Twilio remembers, oldest first."""

    @property
    def live_calls(self) -> Mapping[str, TwinCall]:
        """The calls that are not over."""

    def place_outbound_call(self, to: str, from_: str, order: CallOrder) -> TwinCall:
        """Dial a number.

        Raises:
            RestRefused: it cannot be dialled, or not now.
        """

    def break_off(self, peer: tuple[str, int]) -> None:
        """Break off a client's connection."""

    def forget(self, call_sid: str) -> None:
        """Delete what is remembered of a call."""


def create_app(account: Account) -> Starlette:
    """Build the application that serves the account."""
    api = _Api(account)
    base = f"/{API_VERSION}/Accounts/{{account}}"
    return Starlette(
        routes=[
            Route(f"{base}.json", api.on(api.account)),
            Route(f"{base}/Calls.json", api.on(api.create_call), methods=["POST"]),
            Route(f"{base}/Calls.json", api.on(api.list_calls), methods=["GET"]),
            Route(f"{base}/Calls/{{sid}}.json", api.on(api.update_call), methods=["POST"]),
            Route(f"{base}/Calls/{{sid}}.json", api.on(api.fetch_call), methods=["GET"]),
            Route(f"{base}/Calls/{{sid}}.json", api.on(api.delete_call), methods=["DELETE"]),
            Route(f"{base}/Calls/{{sid}}/Notifications.json", api.on(api.list_notifications)),
            Route(f"{base}/IncomingPhoneNumbers.json", api.on(api.list_numbers)),
            Route(
                f"{base}/IncomingPhoneNumbers/{{sid}}.json",
                api.on(api.number),
                methods=["GET", "POST"],
            ),
            Route("/{path:path}", api.on(api.nothing), methods=["GET", "POST", "DELETE"]),
        ]
    )


class _Api:
    """The handlers; each gets the request and its form and returns a status and a body."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._serving = 0

    def on(self, handle: Callable[[Request, Form], tuple[int, Any]]) -> Any:
        """Wrap a handler: authentication, form, errors, headers."""

        async def serve(request: Request) -> Response:
            most = self._account.most_requests
            self._serving += 1
            headers = {
                "Twilio-Request-Id": new_sid("RQ"),
                "Twilio-Concurrent-Requests": str(self._serving),
            }
            broken_off = False
            try:
                self._authenticate(request)
                if most is not None and self._serving > most:
                    raise RestRefused(20429)
                form = await _form(request)
                fault = self._account.on_rest(request.method, request.url.path) or RestFault()
                await asyncio.sleep(fault.delay_s)
                broken_off = fault.broken_off
                status, body = 204, None
                if fault.carried_out or not (fault.code or broken_off):
                    status, body = handle(request, form)
                await asyncio.sleep(fault.answer_delay_s)
                if fault.code:
                    raise RestRefused(fault.code)
            except RestRefused as error:
                status, body = error.http_status, _error(error)
            finally:
                self._serving -= 1
            if broken_off and request.client is not None:
                # What is answered after that reaches nobody.
                self._account.break_off((request.client.host, request.client.port))
            if status == 204:
                return Response(status_code=204, headers=headers)
            return JSONResponse(body, status, headers)

        return serve

    def account(self, request: Request, form: Form) -> tuple[int, Any]:
        """Fetch the account."""
        sid = self._account.account_sid
        return 200, {
            "sid": sid,
            "owner_account_sid": sid,
            "friendly_name": "evercall twin",
            "status": "active",
            "type": "Full",
            "uri": f"/{API_VERSION}/Accounts/{sid}.json",
        }

    def create_call(self, request: Request, form: Form) -> tuple[int, Any]:
        """Order a call."""
        to, from_ = checks.check_numbers(form, self._account.numbers)
        order = checks.check_order(form)
        call = self._account.place_outbound_call(to, from_, order)
        return 201, call.line.facts.as_json()

    def fetch_call(self, request: Request, form: Form) -> tuple[int, Any]:
        """Fetch one call."""
        return 200, self._facts(request).as_json()

    def update_call(self, request: Request, form: Form) -> tuple[int, Any]:
        """End a call, or give it another document."""
        facts = self._facts(request)
        call = self._account.live_calls.get(facts.sid)
        end_in = checks.check_status(form, facts.state)
        if end_in is not None and call is not None:
            call.end(end_in, "REST")
            return 200, facts.as_json() | {"status": end_in}
        if "Url" in form or "Twiml" in form:
            if facts.state != states.IN_PROGRESS or call is None:
                raise RestRefused(21220)
            call.replace(checks.check_document(form))
        return 200, facts.as_json()

    def delete_call(self, request: Request, form: Form) -> tuple[int, Any]:
        """Forget a finished call."""
        facts = self._facts(request)
        if facts.state not in states.TERMINAL:
            raise RestRefused(20009)
        self._account.forget(facts.sid)
        return 204, None

    def list_calls(self, request: Request, form: Form) -> tuple[int, Any]:
        """List calls, newest first, by the filters of the API."""
        # By number first: whoever looks for one call among ten thousand asks often.
        to = request.query_params.get("To")
        wanted = [
            facts
            for facts in self._account.facts.values()
            if to in (None, facts.to) and _matches(facts, request)
        ]
        wanted.reverse()
        return 200, page_of(request, "calls", wanted)

    def list_notifications(self, request: Request, form: Form) -> tuple[int, Any]:
        """List what Twilio's debugger says of a call that was not answered."""
        facts = self._facts(request)
        found = [Notification(facts, WARNINGS[facts.error_code])] if facts.error_code else []
        return 200, page_of(request, "notifications", found)

    def list_numbers(self, request: Request, form: Form) -> tuple[int, Any]:
        """List the account's numbers."""
        part = request.query_params.get("PhoneNumber", "")
        found = [n for n in self._account.numbers.values() if part in n.phone_number]
        return 200, page_of(request, "incoming_phone_numbers", found)

    def number(self, request: Request, form: Form) -> tuple[int, Any]:
        """Fetch or change one number."""
        sid = request.path_params["sid"]
        number = next((n for n in self._account.numbers.values() if n.sid == sid), None)
        if number is None:
            raise RestRefused(20404)
        if request.method == "POST":
            for name, attribute in _NUMBER_FIELDS.items():
                if name in form:
                    setattr(number, attribute, checks.field(form, name))
        return 200, number.as_json()

    def nothing(self, request: Request, form: Form) -> tuple[int, Any]:
        """Answer a path that is not simulated, or does not exist."""
        raise RestRefused(20404, request.url.path)

    def _facts(self, request: Request) -> CallFacts:
        facts = self._account.facts.get(request.path_params["sid"])
        if facts is None:
            raise RestRefused(20404)
        return facts

    def _authenticate(self, request: Request) -> None:
        kind, _, encoded = request.headers.get("authorization", "").partition(" ")
        try:
            user, _, password = base64.b64decode(encoded).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            raise RestRefused(20003) from None
        account = request.path_params.get("account", self._account.account_sid)
        known = kind.lower() == "basic" and self._account.accepts(user, password)
        if not known or not secrets.compare_digest(account, self._account.account_sid):
            raise RestRefused(20003)


async def _form(request: Request) -> Form:
    if request.method != "POST":
        return {}
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_BODY_BYTES:
            raise RestRefused(20422, "request too large")
    return parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True)


def _error(error: RestRefused) -> dict[str, Any]:
    return {
        "code": error.code,
        "message": error.message,
        "more_info": f"https://www.twilio.com/docs/errors/{error.code}",
        "status": error.http_status,
    }


def _matches(facts: CallFacts, request: Request) -> bool:
    query = request.query_params
    for name, value in (
        ("To", facts.to),
        ("From", facts.from_),
        ("Status", states.shown(facts.state)),
        ("ParentCallSid", facts.parent_call_sid or ""),
    ):
        if query.get(name, value) != value:
            return False
    # The API compares whole days or instants, whichever it is given.
    at = facts.answered_at or facts.created_at
    after, before = query.get("StartTime>"), query.get("StartTime<")
    return (after is None or at >= _instant(after)) and (before is None or at <= _instant(before))


def _instant(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise RestRefused(20422, f"StartTime {text}") from None
    return at if at.tzinfo else at.astimezone()

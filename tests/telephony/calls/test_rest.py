"""Requests to Twilio, over a real socket and the real SDK, and what each failure means."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from telephony.calls import twiml
from telephony.calls.rest import TwilioRest
from telephony.calls.status import CallStatus
from telephony.errors import (
    CallAlreadyOver,
    CarrierBusy,
    CarrierError,
    CarrierUnreachable,
    NumberRefused,
    OutcomeUnknown,
    SettingsRefused,
    Verdict,
)
from telephony.settings import TwilioSettings

ACCOUNT = "AC" + "0" * 32
CALL = "CA" + "1" * 32
ROOT = f"/base/2010-04-01/Accounts/{ACCOUNT}"


def call(**fields: object) -> dict[str, object]:
    return {
        "sid": CALL,
        "status": "queued",
        "direction": "outbound-api",
        "from": "+15550100002",
        "to": "+15550100001",
        "date_created": "Sat, 21 Nov 2026 10:00:00 +0000",
        "duration": None,
        "queue_time": "250",
    } | fields


class Twilio:
    """Answers each request with the next of ``answers`` and keeps what it was asked."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, dict[str, Any]]] = []
        self.asked: list[tuple[str, str, dict[str, list[str]], str]] = []
        self.delay_s = 0.0
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self.server = TestServer(app)

    async def _answer(self, request: web.Request) -> web.Response:
        form = parse_qs(await request.text() or request.query_string, keep_blank_values=True)
        self.asked.append(
            (request.method, request.path, form, request.headers.get("Authorization", ""))
        )
        await asyncio.sleep(self.delay_s)
        status, body = self.answers.pop(0)
        return web.json_response(body, status=status)


@pytest.fixture
async def twilio() -> AsyncIterator[Twilio]:
    fake = Twilio()
    async with fake.server:
        yield fake


def settings(base_url: str, **fields: Any) -> TwilioSettings:
    given: dict[str, Any] = {"phone_number": "+15550100002", "rest_timeout_s": 2.0} | fields
    return TwilioSettings(ACCOUNT, "token", "https://voice.example", base_url=base_url, **given)


@pytest.fixture
async def rest(twilio: Twilio) -> AsyncIterator[TwilioRest]:
    async with TwilioRest(settings(f"http://127.0.0.1:{twilio.server.port}/base")) as client:
        yield client


async def test_dial_names_every_callback(twilio: Twilio, rest: TwilioRest) -> None:
    """Events are a repeated field, the time limit is always set."""
    twilio.answers = [(201, call())]
    placed = await rest.dial("+15550100001", machine_detection="Enable")
    assert (placed.sid, placed.status, placed.queue_time_ms) == (CALL, CallStatus.QUEUED, 250)
    ((method, path, form, authorization),) = twilio.asked
    assert (method, path) == ("POST", f"{ROOT}/Calls.json")
    assert authorization.startswith("Basic ")
    assert form == {
        "To": ["+15550100001"],
        "From": ["+15550100002"],
        "Url": ["https://voice.example/voice"],
        "StatusCallback": ["https://voice.example/voice/status"],
        "StatusCallbackEvent": ["initiated", "ringing", "answered", "completed"],
        "Timeout": ["60"],
        "TimeLimit": ["14400"],
        "MachineDetection": ["Enable"],
        "AsyncAmd": ["true"],
        "AsyncAmdStatusCallback": ["https://voice.example/voice/amd"],
    }


async def test_dial_for_a_campaign_names_its_attempt_in_every_address(
    twilio: Twilio, rest: TwilioRest
) -> None:
    """Voice, status and AMD requests tell which attempt they are about."""
    twilio.answers = [(201, call())]
    await rest.dial("+15550100001", machine_detection="DetectMessageEnd", attempt_id=17)
    ((_, _, form, _),) = twilio.asked
    assert form["MachineDetection"] == ["DetectMessageEnd"]
    assert [form[name] for name in ("Url", "StatusCallback", "AsyncAmdStatusCallback")] == [
        [f"https://voice.example{path}?attempt=17"]
        for path in ("/voice", "/voice/status", "/voice/amd")
    ]


async def test_dial_without_own_number_names_the_setting() -> None:
    """It is found out before Twilio is asked."""
    async with TwilioRest(settings("http://127.0.0.1:1", phone_number=None)) as client:
        with pytest.raises(SettingsRefused, match=r"^EVERCALL_PHONE_NUMBER: "):
            await client.dial("+15550100001")


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, 21211, NumberRefused),
        (401, 20003, SettingsRefused),
        (429, 20429, CarrierBusy),
        (500, 20500, OutcomeUnknown),
        (503, None, OutcomeUnknown),
    ],
)
async def test_refusal_becomes_its_class(
    twilio: Twilio, rest: TwilioRest, status: int, code: int | None, kind: type[CarrierError]
) -> None:
    """The class carries the verdict; the text holds no phone number."""
    message = "The number +15550100001 is not good"
    twilio.answers = [(status, {"code": code, "message": message, "status": status})]
    with pytest.raises(kind) as caught:
        await rest.dial("+15550100001")
    assert (caught.value.code, caught.value.status) == (code or 0, status)
    assert "5550100001" not in str(caught.value)
    assert "is not good" in str(caught.value)


async def test_wrong_key_names_the_settings(twilio: Twilio, rest: TwilioRest) -> None:
    """One line tells what to look at."""
    twilio.answers = [(401, {"code": 20003, "message": "Authenticate", "status": 401})]
    with pytest.raises(SettingsRefused, match=r"^TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN: "):
        await rest.list_calls()


async def test_newer_error_form_is_read(twilio: Twilio, rest: TwilioRest) -> None:
    """RFC 9457 bodies become the same tree."""
    body = {"type": "https://x", "title": "Too many", "status": 429, "code": 20429}
    twilio.answers = [(429, body)]
    with pytest.raises(CarrierBusy):
        await rest.dial("+15550100001")


async def test_slow_dial_is_unknown_slow_look_is_not(twilio: Twilio) -> None:
    """After a time-out a call may have been placed; a look may simply be repeated."""
    twilio.delay_s = 0.5
    twilio.answers = [(201, call()), (200, call())]
    base_url = f"http://127.0.0.1:{twilio.server.port}/base"
    async with TwilioRest(settings(base_url, rest_timeout_s=0.1)) as client:
        with pytest.raises(OutcomeUnknown) as dialled:
            await client.dial("+15550100001")
        with pytest.raises(CarrierUnreachable):
            await client.fetch(CALL)
    assert dialled.value.verdict is Verdict.RECONCILE


async def test_refused_connection_was_never_asked() -> None:
    """Nothing was sent, so it may be tried again."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    async with TwilioRest(settings(f"http://127.0.0.1:{port}")) as client:
        with pytest.raises(CarrierUnreachable) as caught:
            await client.dial("+15550100001")
    assert caught.value.verdict is Verdict.RETRY


@pytest.mark.parametrize("status", [201, 302, 502])
async def test_garbled_answer_to_a_dial_is_unknown(status: int) -> None:
    """A proxy's page in place of Twilio's JSON says nothing about the call."""

    async def page(_request: web.Request) -> web.Response:
        return web.Response(text="<html>", status=status, content_type="text/html")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", page)
    async with (
        TestServer(app) as server,
        TwilioRest(settings(f"http://127.0.0.1:{server.port}")) as client,
    ):
        with pytest.raises(OutcomeUnknown):
            await client.dial("+15550100001")


@pytest.mark.parametrize(("status", "text"), [(200, "{}"), (201, '{"sid": null}'), (204, "")])
async def test_answer_to_a_dial_without_a_call_is_unknown(status: int, text: str) -> None:
    """It is well-formed, and names nothing that could be looked for later."""

    async def empty(_request: web.Request) -> web.Response:
        return web.Response(text=text, status=status, content_type="application/json")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", empty)
    async with (
        TestServer(app) as server,
        TwilioRest(settings(f"http://127.0.0.1:{server.port}")) as client,
    ):
        with pytest.raises(OutcomeUnknown):
            await client.dial("+15550100001")


@pytest.mark.parametrize(("status", "code"), [(400, 21220), (404, 20404)])
async def test_hanging_up_an_ended_call_is_no_error(
    twilio: Twilio, rest: TwilioRest, status: int, code: int
) -> None:
    """Twilio says so in more than one way."""
    twilio.answers = [(status, {"code": code, "message": "gone", "status": status})]
    await rest.hang_up(CALL)
    assert twilio.asked[0][2] == {"Status": ["completed"]}


async def test_transfer_replaces_the_document(twilio: Twilio, rest: TwilioRest) -> None:
    """The call is given TwiML that dials and reports back."""
    twilio.answers = [(200, call())]
    await rest.transfer(CALL, "+15550100009", caller_id="+15550100002")
    method, path, form, _ = twilio.asked[0]
    assert (method, path) == ("POST", f"{ROOT}/Calls/{CALL}.json")
    assert "<Number>+15550100009</Number>" in form["Twiml"][0]
    twilio.answers = [(400, {"code": 21220, "message": "not in progress", "status": 400})]
    with pytest.raises(CallAlreadyOver):
        await rest.transfer(CALL, "+15550100009")


@pytest.mark.parametrize(
    ("status", "code"), [(400, 21220), (404, 20404), (404, None)], ids=["state", "unknown", "bare"]
)
async def test_redirecting_an_ended_call_says_that_it_is_over(
    twilio: Twilio, rest: TwilioRest, status: int, code: int | None
) -> None:
    """Whichever way Twilio puts it: not in progress, or not found."""
    twilio.answers = [(status, {"code": code, "message": "gone", "status": status})]
    with pytest.raises(CallAlreadyOver) as caught:
        await rest.redirect(CALL, twiml.continue_call(settings(""), stream=1))
    assert caught.value.verdict is Verdict.END


async def test_redirect_without_an_answer_may_be_asked_again(twilio: Twilio) -> None:
    """A time-out leaves it open whether the call was steered; the same request settles it."""
    document = twiml.continue_call(settings(""), stream=2)
    twilio.delay_s = 0.5
    twilio.answers = [(200, call(status="in-progress"))] * 2
    base_url = f"http://127.0.0.1:{twilio.server.port}/base"
    async with TwilioRest(settings(base_url, rest_timeout_s=0.1)) as client:
        with pytest.raises(OutcomeUnknown) as caught:
            await client.redirect(CALL, document)
        assert caught.value.verdict is Verdict.RECONCILE
        twilio.delay_s = 0.0
        await client.redirect(CALL, document)
    assert [(method, path) for method, path, _, _ in twilio.asked] == [
        ("POST", f"{ROOT}/Calls/{CALL}.json")
    ] * 2
    assert [form for _, _, form, _ in twilio.asked] == [{"Twiml": [document]}] * 2


async def test_digits_are_checked_and_sent(twilio: Twilio, rest: TwilioRest) -> None:
    """Only what Twilio can play is asked for."""
    twilio.answers = [(200, call())]
    await rest.send_digits(CALL, "1w#", stream=2)
    (document,) = twilio.asked[0][2]["Twiml"]
    assert '<Play digits="1w#" />' in document
    assert "/voice/continue?n=2<" in document
    for wrong in ("", "hello", "1" * 33):
        with pytest.raises(ValueError, match="digits"):
            await rest.send_digits(CALL, wrong)


async def test_fetch_reads_what_is_there(twilio: Twilio, rest: TwilioRest) -> None:
    """Strings become numbers and times; a status of tomorrow is None; no call is None."""
    ended = "Sat, 21 Nov 2026 10:01:01 +0000"
    twilio.answers = [
        (200, call(status="completed", duration="61", end_time=ended, answered_by="human")),
        (200, call(status="teleported")),
        (404, {"code": 20404, "message": "not found", "status": 404}),
    ]
    seen = await rest.fetch(CALL)
    assert seen is not None
    assert (seen.status, seen.duration_s, seen.answered_by) == ("completed", 61, "human")
    assert seen.ended_at is not None
    assert seen.ended_at.minute == 1
    tomorrow = await rest.fetch(CALL)
    assert tomorrow is not None
    assert tomorrow.status is None
    assert await rest.fetch(CALL) is None


async def test_calls_are_listed_by_filter(twilio: Twilio, rest: TwilioRest) -> None:
    """Filters that are not given are not sent."""
    twilio.answers = [(200, {"calls": [call(), call()], "next_page_uri": None, "page": 0})]
    found = await rest.list_calls(to="+15550100001", status=CallStatus.IN_PROGRESS)
    assert len(found) == 2
    method, path, query, _ = twilio.asked[0]
    assert (method, path) == ("GET", f"{ROOT}/Calls.json")
    assert query["To"] == ["+15550100001"]
    assert query["Status"] == ["in-progress"]
    assert not any(name.startswith("StartTime") for name in query)


async def test_number_is_found_and_pointed_here(twilio: Twilio, rest: TwilioRest) -> None:
    """What doctor looks at and mends."""
    number = {"sid": "PN1", "phone_number": "+15550100002", "voice_url": "https://old"}
    twilio.answers = [
        (200, {"incoming_phone_numbers": [number], "next_page_uri": None}),
        (200, number | {"voice_url": "https://voice.example/voice", "voice_method": "POST"}),
        (200, {"incoming_phone_numbers": [], "next_page_uri": None}),
    ]
    found = await rest.find_number("+15550100002")
    assert found is not None
    assert found.voice_url == "https://old"
    assert (await rest.point_number(found.sid)).voice_url == "https://voice.example/voice"
    assert twilio.asked[1][2]["StatusCallback"] == ["https://voice.example/voice/status"]
    assert await rest.find_number("+15550100003") is None


async def test_edge_and_region_of_the_environment_are_not_used(
    twilio: Twilio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDK would bend the address to another host."""
    monkeypatch.setenv("TWILIO_EDGE", "dublin")
    monkeypatch.setenv("TWILIO_REGION", "ie1")
    twilio.answers = [(201, call())]
    async with TwilioRest(settings(f"http://127.0.0.1:{twilio.server.port}")) as client:
        assert (await client.dial("+15550100001")).sid == CALL

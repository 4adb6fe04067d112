"""The REST API, driven by Twilio's own SDK, and the calls that are ordered through it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client

from tests.fakes.media_agent import MediaAgent
from tests.fakes.voice_worker import VoiceWorker
from tests.tone import strongest_hz
from workers.twin import phone_audio
from workers.twin.caller import CallerScript, HangUp, Tone, WaitSeconds, WaitStream
from workers.twin.twilio_api.callee import CalleeBehaviour, blocked
from workers.twin.twilio_api.rest_faults import RestFault
from workers.twin.twilio_api.server import DEMO_ACCOUNT_SID, DEMO_AUTH_TOKEN, TwilioTwin

TO = "+15550100009"
FROM = "+15550100002"
HOLD = "<Response><Pause length='30'/></Response>"


@pytest.fixture(autouse=True)
def _no_edge(monkeypatch: pytest.MonkeyPatch) -> None:
    # Either would rewrite the local base URL (Twilio reference, 4.6).
    monkeypatch.delenv("TWILIO_EDGE", raising=False)
    monkeypatch.delenv("TWILIO_REGION", raising=False)


def sdk(twilio: TwilioTwin, password: str = DEMO_AUTH_TOKEN) -> Client:
    client = Client(DEMO_ACCOUNT_SID, password)
    client.api.base_url = twilio.base_url
    return client


async def ask(work: Callable[[], Any]) -> Any:
    """Run the synchronous SDK beside the twin."""
    async with asyncio.timeout(10):
        return await asyncio.to_thread(work)


async def until(met: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not met():  # noqa: ASYNC110 - the twin's state is what is tested
            await asyncio.sleep(0.01)


async def test_dialled_call_passes_every_state_in_order() -> None:
    """All four events arrive, numbered from 0, and REST shows strings and RFC 2822 dates."""
    async with VoiceWorker(twiml={"/voice": "<Response><Say>Hi</Say></Response>"}) as worker:
        async with TwilioTwin(numbers=[FROM]) as twilio:
            client = sdk(twilio)
            created = await ask(
                lambda: client.calls.create(
                    to=TO,
                    from_=FROM,
                    url=f"{worker.base_url}/voice",
                    status_callback=f"{worker.base_url}/status",
                    status_callback_event=["initiated", "ringing", "answered", "completed"],
                )
            )
            assert created.status == "queued"
            assert created.direction == "outbound-api"
            assert created.start_time is None
            result = await twilio.find_call(created.sid).wait(10)
            fetched = await ask(lambda: client.calls(created.sid).fetch())
        callbacks = worker.sent_to("/status")
        (voice,) = worker.sent_to("/voice")
    assert voice.params["CallStatus"] == "in-progress"
    numbered = sorted((int(c.params["SequenceNumber"]), c.params["CallStatus"]) for c in callbacks)
    assert numbered == [(0, "initiated"), (1, "ringing"), (2, "in-progress"), (3, "completed")]
    assert result.status == fetched.status == "completed"
    assert fetched._from == FROM
    assert fetched.end_time is not None
    assert int(fetched.duration) >= 1


@pytest.mark.parametrize("outcome", ["busy", "no-answer", "failed"])
async def test_unanswered_call_ends_with_its_reason(outcome: Any) -> None:
    """A call nobody takes fetches no document."""
    async with VoiceWorker() as worker, TwilioTwin() as twilio:
        twilio.on_dial = lambda _: CalleeBehaviour(outcome, after_s=0.1)
        client = sdk(twilio)
        url = f"{worker.base_url}/voice"
        call = await ask(lambda: client.calls.create(to=TO, from_=FROM, url=url))
        result = await twilio.find_call(call.sid).wait(10)
        assert result.status == outcome
        assert not worker.requests


async def test_ring_timeout_is_no_answer() -> None:
    """A callee who takes longer than ``Timeout`` did not answer."""
    async with TwilioTwin() as twilio:
        twilio.on_dial = lambda _: CalleeBehaviour(after_s=5)
        client = sdk(twilio)
        call = await ask(lambda: client.calls.create(to=TO, from_=FROM, twiml=HOLD, timeout=1))
        assert (await twilio.find_call(call.sid).wait(10)).status == "no-answer"


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"to": "12"}, 21211),
        ({"to": FROM}, 21211),
        ({"from_": "+15550199999"}, 21210),
        ({"twiml": None, "url": "nonsense"}, 21205),
        ({"status_callback": "http://x.example/", "status_callback_event": ["a b"]}, 21626),
        ({"twiml": "<Response>" + " " * 4000 + "</Response>"}, 32018),
        ({"machine_detection": "Enable", "async_amd": "true"}, 21262),
    ],
)
async def test_bad_order_is_refused_with_its_code(changed: dict[str, Any], code: int) -> None:
    """The SDK raises with Twilio's code, and nothing is dialled."""
    order: dict[str, Any] = {"to": TO, "from_": FROM, "twiml": HOLD, **changed}
    order = {name: value for name, value in order.items() if value is not None}
    async with TwilioTwin(numbers=[FROM]) as twilio:
        with pytest.raises(TwilioRestException) as caught:
            await ask(lambda: sdk(twilio).calls.create(**order))
        assert caught.value.code == code
        assert not twilio.facts


async def test_wrong_password_is_20003() -> None:
    """Bad credentials are 401 on every resource."""
    async with TwilioTwin() as twilio:
        with pytest.raises(TwilioRestException) as caught:
            await ask(lambda: sdk(twilio, "wrong").calls("CA1").fetch())
        assert (caught.value.status, caught.value.code) == (401, 20003)


async def test_update_ends_redirects_and_refuses() -> None:
    """New TwiML tears down what runs; ``completed`` ends; an ended or unknown call is refused."""
    async with VoiceWorker(twiml={"/next": HOLD}) as worker, TwilioTwin() as twilio:
        client = sdk(twilio)
        call = await ask(lambda: client.calls.create(to=TO, from_=FROM, twiml=HOLD))
        with pytest.raises(TwilioRestException) as too_early:
            await ask(lambda: client.calls(call.sid).update(twiml=HOLD))
        assert too_early.value.code == 21220
        await until(lambda: twilio.facts[call.sid].state == "in-progress")
        await ask(lambda: client.calls(call.sid).update(url=f"{worker.base_url}/next"))
        await until(lambda: bool(worker.sent_to("/next")))
        await ask(lambda: client.calls(call.sid).update(status="completed"))
        assert (await twilio.find_call(call.sid).wait(5)).status == "completed"
        with pytest.raises(TwilioRestException) as too_late:
            await ask(lambda: client.calls(call.sid).update(status="completed"))
        assert too_late.value.code == 21220
        with pytest.raises(TwilioRestException) as unknown:
            await ask(lambda: client.calls("CA" + "0" * 32).fetch())
        assert unknown.value.code == 20404


async def test_canceling_a_ringing_call_tells_its_callback() -> None:
    """A call that rings can be canceled; one in progress cannot."""
    async with VoiceWorker() as worker, TwilioTwin() as twilio:
        twilio.on_dial = lambda _: CalleeBehaviour(after_s=10)
        client = sdk(twilio)
        status = f"{worker.base_url}/status"
        call = await ask(
            lambda: client.calls.create(to=TO, from_=FROM, twiml=HOLD, status_callback=status)
        )
        await until(lambda: twilio.facts[call.sid].state == "ringing")
        await ask(lambda: client.calls(call.sid).update(status="canceled"))
        assert (await twilio.find_call(call.sid).wait(5)).status == "canceled"
        assert [r.params["CallStatus"] for r in worker.sent_to("/status")] == ["canceled"]


async def test_update_of_a_streaming_call_sends_stop() -> None:
    """The worker's socket gets ``stop`` and is closed when another document takes over."""
    agent = MediaAgent()
    async with VoiceWorker(media=agent) as worker, TwilioTwin() as twilio:
        worker.twiml["/voice"] = worker.stream()
        client = sdk(twilio)
        url = f"{worker.base_url}/voice"
        call = await ask(lambda: client.calls.create(to=TO, from_=FROM, url=url))
        await until(lambda: len(agent.of("media")) > 5)
        await ask(lambda: client.calls(call.sid).update(twiml="<Response><Say>Hi</Say></Response>"))
        result = await twilio.find_call(call.sid).wait(10)
    assert agent.messages[-1]["event"] == "stop"
    assert not result.warned(31921)
    assert result.status == "completed"


@pytest.mark.parametrize(
    ("fault", "done", "code"),
    [
        (RestFault(code=20429), False, 20429),
        (RestFault(code=20404), False, 20404),
        (RestFault(code=20500, carried_out=True), True, 20500),
    ],
)
async def test_request_may_fail_whether_it_was_carried_out_or_not(
    fault: RestFault, done: bool, code: int
) -> None:
    """What the answer says, and what became of the call, are two things."""
    async with TwilioTwin() as twilio:
        client = sdk(twilio)
        call = await ask(lambda: client.calls.create(to=TO, from_=FROM, twiml=HOLD))
        await until(lambda: twilio.facts[call.sid].state == "in-progress")
        asked: list[tuple[str, str]] = []

        def on_rest(method: str, path: str) -> RestFault | None:
            asked.append((method, path.rpartition("/")[2]))
            return fault if method == "POST" else None

        twilio.on_rest = on_rest
        with pytest.raises(TwilioRestException) as caught:
            await ask(lambda: client.calls(call.sid).update(status="completed"))
        assert caught.value.code == code
        await asyncio.sleep(0.1)
        fetched = await ask(lambda: client.calls(call.sid).fetch())
        assert fetched.status == ("completed" if done else "in-progress")
    assert asked == [("POST", f"{call.sid}.json"), ("GET", f"{call.sid}.json")]


@pytest.mark.parametrize(
    ("fault", "meanwhile"),
    [
        (RestFault(delay_s=0.6), "in-progress"),
        (RestFault(answer_delay_s=0.6), "completed"),
    ],
)
async def test_answer_may_come_when_nobody_waits_any_more(fault: RestFault, meanwhile: str) -> None:
    """The request is late, or its answer is: only in the second case the call is over by then."""
    async with TwilioTwin() as twilio:
        client = sdk(twilio)
        call = await ask(lambda: client.calls.create(to=TO, from_=FROM, twiml=HOLD))
        await until(lambda: twilio.facts[call.sid].state == "in-progress")
        twilio.on_rest = lambda _method, _path: fault
        update = asyncio.create_task(ask(lambda: client.calls(call.sid).update(status="completed")))
        await asyncio.sleep(0.3)
        assert twilio.facts[call.sid].state == meanwhile
        await update
        await until(lambda: not twilio.live_calls)


async def test_keys_and_verdict_of_a_dialled_call() -> None:
    """``SendDigits`` is heard as tones; a later call gets its verdict by callback."""
    async with VoiceWorker() as worker, TwilioTwin() as twilio:
        twilio.on_dial = lambda _: CalleeBehaviour(answered_by="machine_start", verdict_after_s=0.1)
        client = sdk(twilio)
        order: dict[str, Any] = {"to": TO, "from_": FROM, "twiml": "<Response><Pause/></Response>"}
        keyed = await ask(lambda: client.calls.create(**order, send_digits="12#"))
        assert (await twilio.find_call(keyed.sid).wait(10)).digits_heard == "12#"
        detected = await ask(
            lambda: client.calls.create(
                **order,
                machine_detection="Enable",
                async_amd="true",
                async_amd_status_callback=f"{worker.base_url}/amd",
            )
        )
        await twilio.find_call(detected.sid).wait(10)
        (verdict,) = worker.sent_to("/amd")
    assert verdict.params["CallSid"] == detected.sid
    assert verdict.params["AnsweredBy"] == "machine_start"
    assert verdict.params["MachineDetectionDuration"] == "100"


async def test_list_pages_and_filters() -> None:
    """The SDK walks pages of the list, newest first, and filters by number and status."""
    async with TwilioTwin() as twilio:
        twilio.on_dial = lambda _: CalleeBehaviour("busy", after_s=0)
        client = sdk(twilio)
        for n in range(5):
            await ask(partial(client.calls.create, to=f"+1555010100{n}", from_=FROM, twiml=HOLD))
        await until(lambda: not twilio.live_calls)
        everything = await ask(lambda: client.calls.list(page_size=2))
        one = await ask(lambda: client.calls.list(to="+15550101003", status="busy"))
        none = await ask(lambda: client.calls.list(status="completed"))
    assert [call.to[-1] for call in everything] == ["4", "3", "2", "1", "0"]
    assert [call.to for call in one] == ["+15550101003"]
    assert none == []


async def test_numbers_can_be_found_and_pointed_elsewhere() -> None:
    """A number's webhook is read, changed, and used by the next call to it."""
    async with VoiceWorker() as worker, TwilioTwin(numbers=[FROM]) as twilio:
        client = sdk(twilio)
        (found,) = await ask(lambda: client.incoming_phone_numbers.list(phone_number=FROM))
        assert found.voice_url == ""
        await ask(
            lambda: client.incoming_phone_numbers(found.sid).update(
                voice_url=f"{worker.base_url}/voice", status_callback=f"{worker.base_url}/status"
            )
        )
        account = await ask(lambda: client.api.accounts(DEMO_ACCOUNT_SID).fetch())
        assert account.status == "active"
        worker.twiml["/voice"] = "<Response><Hangup/></Response>"
        call = await twilio.place_inbound_call(to=FROM)
        await call.wait(10)
        assert worker.sent_to("/voice")
        assert worker.sent_to("/status")


async def test_finished_calls_can_be_deleted() -> None:
    """A live call refuses, a finished one is gone afterwards."""
    async with TwilioTwin() as twilio:
        client = sdk(twilio)
        call = await ask(lambda: client.calls.create(to=TO, from_=FROM, twiml=HOLD))
        with pytest.raises(TwilioRestException) as live:
            await ask(lambda: client.calls(call.sid).delete())
        assert live.value.code == 20009
        twilio.find_call(call.sid).end("canceled", "test")
        await until(lambda: not twilio.live_calls)
        assert await ask(lambda: client.calls(call.sid).delete())
        assert call.sid not in twilio.facts


async def test_dialled_person_talks_to_the_worker() -> None:
    """The callee's script runs from the answer on."""
    agent = MediaAgent(echo=True)
    async with VoiceWorker(media=agent) as worker, TwilioTwin() as twilio:
        worker.twiml["/voice"] = worker.stream()
        script = CallerScript.of(WaitStream(), WaitSeconds(0.2), Tone(500, 300), HangUp())
        twilio.on_dial = lambda _: CalleeBehaviour(script=script)
        client = sdk(twilio)
        url = f"{worker.base_url}/voice"
        call = await ask(lambda: client.calls.create(to=TO, from_=FROM, url=url))
        result = await twilio.find_call(call.sid).wait(10)
    heard = phone_audio.to_pcm(result.heard)
    assert strongest_hz(heard, rate_hz=8000) == pytest.approx(500, abs=5)


async def test_debugger_of_a_blocked_call_is_listed() -> None:
    """The resource of a call has no error: 32017 is in its notifications."""
    async with TwilioTwin() as twilio:
        twilio.on_dial = lambda _: blocked(after_s=0)
        client = sdk(twilio)
        call = await ask(lambda: client.calls.create(to=TO, from_=FROM, twiml=HOLD))
        await until(lambda: not twilio.live_calls)
        (found,) = await ask(lambda: client.calls(call.sid).notifications.list())
        assert found.error_code == "32017"
        assert found.call_sid == call.sid


async def test_bad_detection_time_out_is_21234() -> None:
    """It is 3 to 59 seconds."""
    async with TwilioTwin() as twilio:
        order: dict[str, Any] = {"to": TO, "from_": FROM, "twiml": HOLD}
        with pytest.raises(TwilioRestException) as caught:
            await ask(
                lambda: sdk(twilio).calls.create(
                    **order, machine_detection="Enable", machine_detection_timeout=60
                )
            )
        assert caught.value.code == 21234

"""Callbacks that are late, lost, repeated or in another order, by script and by chance."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping

import pytest

from tests.fakes.media_agent import MediaAgent
from tests.fakes.voice_worker import VoiceWorker
from workers.twin.caller import CallerScript, HangUp, WaitSeconds, WaitStream
from workers.twin.twilio_api import callback_faults
from workers.twin.twilio_api.callback_faults import (
    CallbackFault,
    CallbackFaults,
    CallbackPost,
    RandomCallbacks,
    ScriptedCallbacks,
)
from workers.twin.twilio_api.callee import CalleeBehaviour
from workers.twin.twilio_api.line import CallFaults
from workers.twin.twilio_api.order import CallOrder, StatusCallback
from workers.twin.twilio_api.program import Fetch
from workers.twin.twilio_api.server import TwilioTwin
from workers.twin.twilio_api.states import EVENTS


async def carried(faults: CallbackFaults, *events: str) -> list[str]:
    """What arrives, in which order, where each event comes when the one before has had time to."""
    sent: list[str] = []

    async def send(event: str) -> None:
        await asyncio.sleep(0.002)
        sent.append(event)

    post = CallbackPost(faults, lambda *_, **__: None)
    async with asyncio.TaskGroup() as tasks:
        for event in events:
            tasks.create_task(post.carry(event, lambda event=event: send(event)))  # type: ignore[misc]  # bound to this turn of the loop
            await asyncio.sleep(0.01)
    return sent


def scripted(**events: CallbackFault) -> ScriptedCallbacks:
    return ScriptedCallbacks(events)


@pytest.mark.parametrize(
    ("events", "arrived"),
    [
        ({}, "abc"),
        ({"a": CallbackFault(drop=True)}, "bc"),
        ({"b": CallbackFault(repeats=2, repeat_after_s=0.001)}, "abbbc"),
        ({"a": CallbackFault(delay_s=0.015)}, "bac"),
        ({"a": CallbackFault(behind_next=True)}, "bac"),
        ({"a": CallbackFault(behind_next=True), "b": CallbackFault(drop=True)}, "ca"),
        ({"a": CallbackFault(behind_next=True), "b": CallbackFault(behind_next=True)}, "cba"),
        ({"a": CallbackFault(behind_next=True, repeats=1, repeat_after_s=0.03)}, "baca"),
    ],
)
async def test_script_says_what_happens_to_each(
    events: Mapping[str, CallbackFault], arrived: str
) -> None:
    """Lost, repeated, late, overtaken by the next, and several of these at once."""
    assert "".join(await carried(ScriptedCallbacks(events), *"abc")) == arrived


async def test_last_one_is_not_held_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no other comes, it leaves by itself."""
    monkeypatch.setattr(callback_faults, "HELD_S", 0.03)
    assert await carried(scripted(b=CallbackFault(behind_next=True)), *"ab") == ["a", "b"]


async def test_script_may_mean_one_of_several() -> None:
    """The second of its kind, as of a call's second stream."""
    faults = ScriptedCallbacks({"a": CallbackFault(drop=True)}, only=2)
    assert await carried(faults, *"aaab") == ["a", "a", "b"]


def test_chance_follows_from_its_seed() -> None:
    """Whatever order the events come in; another seed is another fate, and none is certain."""
    names = [(event, number) for event in sorted(EVENTS) for number in range(1, 200)]
    seven = RandomCallbacks(7)
    fates = {name: seven.of(*name) for name in names}
    assert {name: RandomCallbacks(7).of(*name) for name in reversed(names)} == fates
    assert {name: RandomCallbacks(8).of(*name) for name in names} != fates
    dropped = sum(fate.drop for fate in fates.values()) / len(names)
    assert 0.05 < dropped < 0.15
    for count in Counter(fate.repeats for fate in fates.values()).values():
        assert count > 50


async def test_callbacks_of_a_call_go_by_its_faults() -> None:
    """Status and stream events are alike; the webhooks that were sent, and when, are in the result.

    The faults are those of the twin, since a call that is placed by REST can name none.
    """
    async with VoiceWorker(media=MediaAgent()) as worker, TwilioTwin() as twilio:
        worker.twiml["/voice"] = worker.stream()
        script = CallerScript.of(WaitStream(), WaitSeconds(0.2), HangUp())
        twilio.on_dial = lambda _: CalleeBehaviour(script=script)
        twilio.faults = CallFaults(
            callbacks=ScriptedCallbacks(
                {
                    "ringing": CallbackFault(drop=True),
                    "answered": CallbackFault(behind_next=True),
                    "completed": CallbackFault(repeats=1),
                    "stream-stopped": CallbackFault(delay_s=0.5),
                }
            )
        )
        order = CallOrder(
            Fetch(f"{worker.base_url}/voice"),
            status_callback=StatusCallback(f"{worker.base_url}/status", events=EVENTS),
        )
        call = twilio.place_outbound_call("+15550100009", "+15550100002", order)
        result = await call.wait(10)
        statuses = [request.params["CallStatus"] for request in worker.sent_to("/status")]
        streams = [request.params["StreamEvent"] for request in worker.sent_to("/stream-status")]
    # Overtaken by stream-started, which is the next callback of all.
    assert statuses == ["initiated", "in-progress", "completed", "completed"]
    assert streams == ["stream-started", "stream-stopped"]
    sent = {hook.kind: hook.sent_at_s for hook in result.webhooks}
    assert sent["status answered"] > sent["stream-started"]
    assert sent["stream-stopped"] > result.duration_s + 0.45
    told = {event.data["event"] for event in result.named("callback.fault")}
    assert told == {"ringing", "answered", "completed", "stream-stopped"}

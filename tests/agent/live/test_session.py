"""The shell of a session over an in-memory connection."""

from __future__ import annotations

import asyncio

from agent import events
from agent.audio import PcmChunk
from agent.conversation.prompt import Opening
from agent.conversation.record import EndReason
from agent.errors import LiveConnectFailed, LiveConnectRefused
from agent.live.caller_speech import CallerSpeechStarted
from agent.live.session_events import CaughtUp, SessionEnd, SessionEvent
from agent.spec import Limits, Moves
from agent.tools.declarations import declare
from tests.agent.live.calls import AUDIO_100MS, LOUD_200MS, PCM_20MS, Call, running
from tests.fakes.live_connection import FakeConnection, FakeDialer


async def test_caller_audio_from_before_the_connection_is_sent_first_and_in_order() -> None:
    """Nothing the caller says while we dial is lost or overtaken."""
    call = Call(FakeDialer(open_at_once=False))
    pieces = [bytes([n, 0]) * 320 for n in range(20)]
    async with running(call):
        for piece in pieces[:10]:
            await call.session.send_caller_audio(piece)
        call.dialer.may_open.set()
        for piece in pieces[10:]:
            await call.session.send_caller_audio(piece)
            await asyncio.sleep(0)
        await call.until(lambda: len(call.connection.audio) == 20 * 640)
    assert bytes(call.connection.audio) == b"".join(pieces)
    assert call.session.counters["caller_audio_lost_ms"] == 0
    assert call.connection.closed


async def test_dial_that_takes_too_long_loses_the_oldest_audio_and_counts_it() -> None:
    """Thirty seconds are held, as promised; what falls off is in the counters."""
    call = Call(FakeDialer(open_at_once=False))
    async with running(call):
        for _ in range(31):
            await call.session.send_caller_audio(bytes(32_000))
    assert call.session.counters["caller_audio_lost_ms"] == 1_000


async def test_congested_connection_does_not_stop_the_phone() -> None:
    """While the network takes nothing, audio is held and later sent in order."""
    call = Call(FakeDialer())
    async with running(call):
        await call.session.send_caller_audio(b"\1\0" * 320)
        await call.until(lambda: len(call.connection.audio) == 640)
        call.connection.congested = True
        await call.session.send_caller_audio(b"\2\0" * 320)
        call.connection.congested = False
        await call.session.send_caller_audio(b"\3\0" * 320)
        await call.until(lambda: len(call.connection.audio) == 3 * 640)
    assert [call.connection.audio[n * 640] for n in range(3)] == [1, 2, 3]


async def test_greeting_is_asked_for_and_kept_when_spoken_whole() -> None:
    """The audio of an undisturbed greeting goes to whoever keeps greetings."""
    call = Call(FakeDialer(), opening=Opening("Be kind.", greeting="Hello there."))
    async with running(call):
        await call.until(lambda: bool(call.connection.texts))
        assert call.connection.texts[0][1] is True
        call.connection.say(events.OutputTranscribed("Hello there."))
        for _ in range(8):
            call.connection.say(events.AudioReceived(AUDIO_100MS))
        call.connection.say(events.GenerationCompleted())
        call.connection.say(events.TurnCompleted())
        await call.heard(events.TurnCompleted)
        call.playout.play(1_000)
    assert call.greetings == [PcmChunk(AUDIO_100MS.pcm * 8, 24_000)]
    (turn,) = call.transcript.snapshot()
    assert (turn.speaker, turn.said, turn.heard) == ("agent", "Hello there.", "Hello there.")


async def test_kept_greeting_is_played_before_the_connection_is_up() -> None:
    """The caller does not wait for the dial."""
    audio = PcmChunk(bytes(1_600), 8_000)
    opening = Opening("Be kind.", greeting="Hello there.", greeting_audio=audio)
    call = Call(FakeDialer(open_at_once=False), opening=opening)
    async with running(call):
        await call.until(lambda: call.listener.greeting is not None)
        call.playout.play(100)
        call.dialer.may_open.set()
        await call.session.send_caller_audio(PCM_20MS)
        await call.until(lambda: bool(call.connection.audio))
    assert call.connection.texts == []
    assert call.transcript.snapshot()[0].heard == "Hello there."


async def answering(call: Call) -> None:
    """Have the model begin an answer, and the session wait for more of it."""
    await call.session.send_caller_audio(LOUD_200MS)
    await call.heard(CaughtUp)
    call.connection.say(events.AudioReceived(AUDIO_100MS))
    await call.heard(events.AudioReceived)
    await call.until(lambda: call.connection.waited_for)


async def test_answer_goes_on_right_where_it_comes() -> None:
    """Once it is heard, its audio waits for no task; what comes behind something else does."""
    call = Call(FakeDialer())
    async with running(call):
        await answering(call)
        before = len(call.listener.events)
        audio, words = events.AudioReceived(AUDIO_100MS), events.OutputTranscribed("One.")
        call.connection.say(audio)
        assert call.listener.events[before:] == [audio]
        call.connection.say(words)
        call.connection.say(audio)
        assert call.listener.events[before:] == [audio]
        await call.heard(events.OutputTranscribed)
        await call.until(lambda: len(call.listener.events) == before + 3)
        assert call.listener.events[before:] == [audio, words, audio]
    assert call.playout.offered_ms() == 300


async def test_failure_where_audio_comes_ends_the_session() -> None:
    """It is no failure of the connection's, which another one would be dialled for."""
    call = Call(FakeDialer())
    failed: list[PcmChunk] = []

    def fail(audio: PcmChunk) -> None:
        failed.append(audio)
        raise RuntimeError

    async with running(call) as task:
        await answering(call)
        call.listener.play_on = fail  # type: ignore[method-assign]  # breaks on purpose
        for _ in range(3):
            call.connection.say(events.AudioReceived(AUDIO_100MS))
            await asyncio.sleep(0)
        async with asyncio.timeout(5):
            end = await task
    assert end.reason is EndReason.INTERNAL_ERROR
    assert (len(failed), len(call.dialer.dials)) == (1, 1)


async def test_barge_in_is_recorded_with_what_was_cut() -> None:
    """The listener is told once to drop audio, the record says how much."""
    call = Call(FakeDialer())
    async with running(call):
        await call.session.send_caller_audio(LOUD_200MS)
        call.connection.say(
            events.OutputTranscribed("One two three four."), events.AudioReceived(AUDIO_100MS)
        )
        await call.heard(events.AudioReceived)
        call.playout.play(40)
        call.connection.say(events.Interrupted(), events.TurnCompleted())
        await call.heard(events.TurnCompleted)
    assert [round(record.cut_ms) for record in call.session.barge_ins] == [60]
    told = [type(event) for event in call.listener.events]
    assert told.count(events.Interrupted) == 1
    assert told.index(events.Interrupted) < told.index(events.TurnCompleted)


async def test_tool_runs_and_its_answer_reaches_the_model() -> None:
    """A call goes to the runner, its result back in one message."""

    async def order_status(order_number: str) -> str:
        """Look up an order."""
        return f"{order_number} is ready"

    call = Call(FakeDialer(), tools={"order_status": declare(order_status)})
    async with running(call):
        request = events.FunctionCall("id-1", "order_status", {"order_number": "7"})
        call.connection.say(events.ToolCallsRequested((request,)))
        await call.until(lambda: bool(call.connection.responses))
    (response,) = call.connection.responses[0]
    assert (response.id, response.response) == ("id-1", {"output": "7 is ready"})


async def test_agent_hangs_up_after_its_goodbye_was_heard() -> None:
    """``end_call``, a goodbye, its playout, then the end."""
    call = Call(FakeDialer())
    async with running(call) as task:
        end_call = events.FunctionCall("id-1", "end_call")
        call.connection.say(events.ToolCallsRequested((end_call,)))
        await call.until(lambda: bool(call.connection.responses))
        call.connection.say(events.AudioReceived(AUDIO_100MS), events.TurnCompleted())
        await call.heard(events.TurnCompleted)
        assert not task.done()
        call.playout.play(100)
        call.session.bot_stopped()
        async with asyncio.timeout(2):
            end = await task
    assert end.reason is EndReason.AGENT_HUNG_UP


async def test_keys_reach_the_model_as_text() -> None:
    """Keys are told in one text; what is no key is counted."""
    call = Call(FakeDialer())
    async with running(call):
        for key in "42#":
            await call.session.send_digit(key)
        await call.session.send_digit("x")
        await call.until(lambda: bool(call.connection.texts))
    assert "42#" in call.connection.texts[0][0]
    assert [record.digit for record in call.session.digits] == ["4", "2", "#"]
    assert call.session.counters["keys_unknown"] == 1


async def test_lost_connection_ends_the_session_when_none_is_to_be_had() -> None:
    """The budget is bounded, and the session says what the last try met."""
    dialer = FakeDialer(FakeConnection(), error=LiveConnectFailed("no route to the Live API"))
    call = Call(dialer, moves=Moves(budget_s=0.3))
    async with running(call) as task:
        await call.session.send_caller_audio(PCM_20MS)
        await call.heard(CaughtUp)
        call.connection.lose(1011, "Internal error encountered.")
        end = await task
    assert end.reason is EndReason.LIVE_LOST
    assert "no route to the Live API" in end.detail
    (move,) = call.session.moves
    assert "1011" in move.detail
    assert call.connection.closed


async def test_refusal_ends_the_session_with_the_setting_to_look_at() -> None:
    """The detail is the one line that names the setting."""
    call = Call(FakeDialer(error=LiveConnectRefused("voice", "'Zed' is not known")))
    async with running(call) as task:
        end = await task
    assert end == SessionEnd(EndReason.LIVE_REFUSED, "voice: 'Zed' is not known")


async def test_silent_model_is_left_and_a_second_one_ends_the_session() -> None:
    """Caller speech without an answer is noticed by energy alone, and tried with a fresh one."""
    call = Call(FakeDialer(), limits=Limits(answer_timeout_s=0.2))
    async with running(call) as task:
        for _ in range(3):
            await call.session.send_caller_audio(LOUD_200MS)
        for _ in range(40):
            await call.session.send_caller_audio(PCM_20MS)
        end = await task
    assert end.reason is EndReason.MODEL_SILENT
    assert CallerSpeechStarted in [type(event) for event in call.listener.events]
    assert [len(connection.texts) for connection in call.dialer.connections] == [1, 1]


async def test_bad_frames_are_counted_and_the_call_goes_on() -> None:
    """Malformed and unknown messages end nothing."""
    call = Call(FakeDialer())
    async with running(call) as task:
        call.connection.say(events.MalformedReceived("not JSON"), events.Unrecognised(("new",)))
        call.connection.say(events.UsageReported(100, 20, 120))
        call.connection.say(events.UsageReported(0, 4, 4))
        await call.until(lambda: call.session.usage.response_tokens == 24)
        assert not task.done()
    assert call.session.counters["live_malformed"] == 1
    assert call.session.counters["live_unrecognised"] == 1
    assert call.session.usage.context_tokens == 100


async def test_thoughts_are_neither_spoken_nor_kept() -> None:
    """A thought is nobody's speech."""
    call = Call(FakeDialer())
    async with running(call):
        call.connection.say(events.ThoughtReceived("The caller seems upset."))
        call.connection.say(events.TurnCompleted())
        await call.heard(events.TurnCompleted)
    assert call.transcript.snapshot() == []


async def test_error_of_ours_ends_the_call_and_not_the_worker() -> None:
    """What should not happen is logged and becomes the reason of the end."""
    call = Call(FakeDialer())

    async def broken(event: SessionEvent) -> None:
        raise RuntimeError(type(event).__name__)

    async with running(call) as task:
        await call.until(lambda: bool(call.dialer.dials))
        call.listener.on_event = broken  # type: ignore[method-assign]  # breaks on purpose
        call.connection.say(events.TurnCompleted())
        end = await task
    assert end.reason is EndReason.INTERNAL_ERROR


async def test_cancelled_session_closes_its_connection() -> None:
    """A cancelled call leaves no socket."""
    call = Call(FakeDialer())
    async with running(call) as task:
        await call.session.send_caller_audio(PCM_20MS)
        await call.until(lambda: bool(call.connection.audio))
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
    assert call.connection.closed

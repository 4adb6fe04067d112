"""What is made of a call's audio: numbers, loudness, and what is neither."""

from __future__ import annotations

from pathlib import Path

from agent.conversation.record import CallRecord
from tests.workers.entrypoints.drill.samples import recipe
from workers.entrypoints.drill.finished import Finished, observe
from workers.entrypoints.drill.observed import Observed
from workers.entrypoints.drill.tools import look_up
from workers.twin import phone_audio, position_code
from workers.twin.live_api.session_log import SessionLog
from workers.twin.twilio_api.result import CallResult, TwinEvent

SILENCE_MS = 500


def ulaw(first: int, frames: int, *, loud: bool = True) -> bytes:
    return b"".join(phone_audio.coded(first + n, loud=loud).ulaw for n in range(frames))


def quiet(ms: int) -> bytes:
    return phone_audio.SILENCE * (ms * phone_audio.RATE_HZ // 1000)


def seen(
    folder: Path, *, heard: bytes = b"", spoken: bytes = b"", events: tuple[TwinEvent, ...] = ()
) -> Observed:
    size = max(len(heard), len(spoken))
    result = CallResult(
        sid="CA1",
        status="completed",
        answered_at_s=0.0,
        duration_s=size / phone_audio.RATE_HZ,
        heard=heard.ljust(size, phone_audio.SILENCE),
        spoken=spoken.ljust(size, phone_audio.SILENCE),
        played_ms=(),
        events=events,
        warnings=(),
        webhooks=(),
        script_finished=True,
        open_sockets=0,
    )
    log = SessionLog(number=1, path="/", headers={}, opened_at=10.5, closed_at=12.0)
    log.audio(position_code.encode_run(7, 5, rate_hz=16_000), 16_000, 10.6)
    log.texts.append("hello")
    return observe(
        Finished(
            recipe=recipe(folder),
            run="run",
            result=result,
            record=CallRecord("CA1", "drill", "gemini-3.8-live"),
            start_s=10.0,
            connections=[log],
            refused_dials=1,
            left_open=(),
        )
    )


def test_caller_is_loud_where_they_spoke(tmp_path: Path) -> None:
    """Every frame is numbered, and those of speech are told from the quiet ones."""
    spoken = ulaw(0, 10, loud=False) + ulaw(10, 5) + ulaw(15, 10, loud=False)
    found = seen(tmp_path, spoken=spoken)
    assert [one.code for one in found.spoken] == list(range(25))
    assert found.loud == frozenset(range(10, 15))


def test_first_streamed_frame_is_counted_from_the_stream(tmp_path: Path) -> None:
    """What was said before it was up cannot have been lost by the worker."""
    events = (TwinEvent(0.1, "stream-started", {}),)
    found = seen(tmp_path, spoken=ulaw(0, 50, loud=False), events=events)
    assert found.stream_s == 0.1
    assert found.first_streamed in (9, 10)


def test_only_the_models_own_numbers_are_heard(tmp_path: Path) -> None:
    """A number that stands in no line is noise that looked like one."""
    found = seen(tmp_path, heard=quiet(SILENCE_MS) + ulaw(100, 10) + quiet(100) + ulaw(50, 5))
    assert [one.code for one in found.heard] == list(range(100, 110))
    assert abs(found.heard[0].at_ms - SILENCE_MS) <= 4


def test_filler_is_heard_between_answers(tmp_path: Path) -> None:
    """Sound without a number; a click or the edge of an answer is none."""
    heard = quiet(SILENCE_MS) + ulaw(100, 10) + quiet(SILENCE_MS)
    assert seen(tmp_path, heard=heard).noises_ms == ()
    assert seen(tmp_path, heard=heard + phone_audio.tone(440, 160).ulaw()).noises_ms == ()
    heard += phone_audio.tone(440, 200, 800).ulaw()
    ((start, end),) = seen(tmp_path, heard=heard + quiet(100)).noises_ms
    assert (start, end) == (1200, 1400)


def test_carriers_voice_is_no_filler(tmp_path: Path) -> None:
    """Nor is anything after it."""
    heard = quiet(SILENCE_MS) + phone_audio.tone(440, 400).ulaw()
    events = (TwinEvent(0.5, "say", {"text": "So sorry."}), TwinEvent(0.8, "bridged", {}))
    found = seen(tmp_path, heard=heard, events=events)
    assert found.noises_ms == ()
    assert found.said == ("So sorry.",)
    assert found.bridged


async def test_connections_and_tools_of_this_call(tmp_path: Path) -> None:
    """On the phone's clock; other drills of the process have their own tools."""
    await look_up("run:a", 0.0)
    await look_up("other:b", 0.0)
    found = seen(tmp_path, heard=quiet(100))
    (one,) = found.connections
    assert (one.opened_s, one.closed_s, one.ready, one.resumed) == (0.5, 2.0, False, False)
    assert one.caller_codes == tuple(range(7, 12))
    assert one.told == "\nhello"
    assert found.dials == 2
    assert [run.result for run in found.executions if run.key == "run:a"] == ["value-of-a"]
    assert not any(run.key.startswith("other") for run in found.executions)

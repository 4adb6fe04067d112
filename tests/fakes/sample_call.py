"""A call as it is recorded: a bakery, a barge-in, a key, two tools, moves, and its sound."""

from __future__ import annotations

import io
import math
import random
import wave
from array import array

from agent.conversation.record import (
    BargeInRecord,
    CallRecord,
    DigitRecord,
    EndReason,
    MoveCause,
    MoveKind,
    MoveMoment,
    MoveRecord,
    StreamRecord,
    ToolRecord,
    TurnRecord,
    UsageRecord,
)

RATE_HZ = 8000
HOURS = (
    "On Saturday we open at seven in the morning and close at two in the afternoon. On Sunday we"
    " are open from eight until noon. During the week we are here from six thirty until six,"
    " except on Wednesday, when we close early."
)
HOURS_HEARD = "On Saturday we open at seven in the morning and close at two in the afternoon."


def agent_turn(
    said: str, from_s: float, until_s: float, delay_s: float | None = None, heard: str | None = None
) -> TurnRecord:
    heard_ms = 1000 * (until_s - from_s)
    return TurnRecord(
        "agent",
        said,
        said if heard is None else heard,
        from_s,
        until_s,
        interrupted=heard is not None,
        said_ms=heard_ms if heard is None else heard_ms + 7400,
        heard_ms=heard_ms,
        answer_delay_s=delay_s,
    )


def caller_turn(said: str, from_s: float, until_s: float) -> TurnRecord:
    return TurnRecord("caller", said, said, from_s, until_s)


def sample_record() -> CallRecord:
    ready = (
        "Your order number seven is ready. It is two loaves of rye bread, at nine dollars and"
        " twenty cents."
    )
    return CallRecord(
        call_sid="CA" + "0123456789abcdef" * 2,
        agent="corner-bakery",
        model="gemini-3.8-live",
        started_at="2026-11-21T21:04:09Z",
        ended_s=47.9,
        end_reason=EndReason.AGENT_HUNG_UP,
        streams=[StreamRecord("MZ" + "0" * 32, 0.0, 47.9, EndReason.AGENT_HUNG_UP)],
        turns=[
            agent_turn("Hello, this is Corner Bakery. How can I help you today?", 0.3, 3.9),
            caller_turn("Hi there. What time do you open on Saturday?", 4.9, 7.6),
            agent_turn(HOURS, 8.35, 13.3, 0.75, HOURS_HEARD),
            caller_turn("Thanks, that is all I need. Can you check an order for me?", 12.9, 16.4),
            agent_turn("Of course. Please type your order number on the keypad.", 17.6, 20.9, 1.2),
            agent_turn(ready, 24.4, 31.6, 2.3),
            caller_turn("Great, thank you. Goodbye.", 33.0, 35.1),
            agent_turn("Thank you for calling. Goodbye!", 36.05, 38.4, 0.95),
        ],
        tools=[
            ToolRecord(
                "f1",
                "order_status",
                {"order_number": "7"},
                22.9,
                23.02,
                "ok",
                {"status": "ready", "items": ["rye bread", "rye bread"], "price": "9.20"},
            ),
            ToolRecord("f2", "end_call", {}, 35.8, 35.81, "ok", {"ok": True}),
        ],
        barge_ins=[BargeInRecord(13.3, 7400.0)],
        digits=[DigitRecord("7", 22.1)],
        usage=UsageRecord(context_tokens=1840, response_tokens=962, total_tokens=5210),
        counters={"live_malformed": 1, "caller_audio_lost_ms": 0},
    )


def sample_moves() -> list[MoveRecord]:
    """A move that nobody noticed, one that was heard, one that cost a word."""
    return [
        MoveRecord(
            MoveCause.GO_AWAY,
            MoveMoment.SAFE_POINT,
            MoveKind.RESUME,
            wanted_s=13.1,
            left_s=21.2,
            done_s=21.51,
            held_ms=300.0,
            model="gemini-3.8-live",
            detail="the server gave 50 s; a safe point came after 8.1 s",
        ),
        MoveRecord(
            MoveCause.LOST,
            MoveMoment.ABRUPT,
            MoveKind.REFILL,
            wanted_s=27.4,
            left_s=27.4,
            done_s=28.9,
            gap_ms=640.0,
            held_ms=1480.0,
            cut_ms=2200.0,
            tries=3,
            model="gemini-3.5-live-preview",
            detail="closed with 1011: Internal error encountered.",
        ),
        MoveRecord(
            MoveCause.AGE,
            MoveMoment.FORCED,
            MoveKind.STANDBY,
            wanted_s=30.2,
            left_s=34.2,
            done_s=34.31,
            held_ms=100.0,
            replayed_ms=1180.0,
            lost_ms=40.0,
            model="gemini-3.8-live",
            detail="no safe point within 4.0 s; the caller was speaking",
        ),
    ]


def sample_wav(record: CallRecord) -> bytes:
    """Write what ``record`` tells as sound: babble for every turn, a hiss for the line."""
    duration_s = record.ended_s or 0.0
    sides = {"caller": _hiss(duration_s, 11), "agent": array("h", bytes(2 * _samples(duration_s)))}
    for number, turn in enumerate(record.turns):
        _babble(sides[turn.speaker], turn, seed=number)
    stereo = array("h", bytes(4 * _samples(duration_s)))
    stereo[0::2], stereo[1::2] = sides["caller"], sides["agent"]
    return wav_of(stereo.tobytes())


def wav_of(pcm: bytes, *, channels: int = 2, rate_hz: int = RATE_HZ) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(channels)
        out.setsampwidth(2)
        out.setframerate(rate_hz)
        out.writeframes(pcm)
    return file.getvalue()


def _samples(seconds: float) -> int:
    return round(seconds * RATE_HZ)


def _hiss(duration_s: float, seed: int) -> array[int]:
    chance = random.Random(seed)
    loop = [chance.randint(-60, 60) for _ in range(RATE_HZ)]
    return array("h", (loop[i % RATE_HZ] for i in range(_samples(duration_s))))


def _babble(side: array[int], turn: TurnRecord, *, seed: int) -> None:
    """Add syllables of random length, loudness and pitch, with pauses between words."""
    chance = random.Random(seed)
    pitch_hz = 190.0 if turn.speaker == "agent" else 110.0
    now, end = _samples(turn.started_s), min(len(side), _samples(turn.ended_s))
    while now < end:
        length = min(end - now, _samples(chance.uniform(0.09, 0.22)))
        peak = chance.uniform(2500, 11000) * (1.0 if turn.speaker == "agent" else 0.7)
        tone = pitch_hz * chance.uniform(0.85, 1.2) * math.tau / RATE_HZ
        for i in range(length):
            swell = math.sin(math.pi * i / length) * peak
            side[now + i] += int(
                swell * (0.6 * math.sin(tone * i) + 0.4 * math.sin(5.1 * tone * i))
            )
        now += length + _samples(chance.choice((0.01, 0.02, 0.06, 0.12, 0.3)))

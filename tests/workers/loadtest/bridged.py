"""A call through a bridge that does what a test plants in it, without any bridge.

What the caller hears is laid down by the twin's own playout, frame by frame as it would arrive;
what the model got is written into its own log.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from workers.twin import phone_audio, position_code
from workers.twin.live_api.session_log import Keep, SaidTurn, SessionLog
from workers.twin.phone_audio import FRAME_BYTES, SILENCE
from workers.twin.twilio_api.media.playout import Playout
from workers.twin.twilio_api.media.timeline import Timeline
from workers.twin.twilio_api.result import CallResult, TwinEvent
from workers.twin.twilio_api.voices import Heard, Voice

RANG_AT = 7000.0
NUMBER = 3
LIVE_RATE_HZ = 16_000
LIVE_FRAME_BYTES = 640
FIRST_CODE = 500
"""Of the only line of the model, which it says again and again."""
LINE = range(FIRST_CODE, FIRST_CODE + 100)
HUNG_UP = (TwinEvent(9.0, "hung_up", {}), TwinEvent(9.0, "ended", {"why": "the far end hung up"}))


@dataclass(frozen=True, slots=True)
class Bridge:
    """What a bridge does to a call, in seconds; codes that it loses, each time they pass."""

    uplink_s: float = 0.02
    downlink_s: float = 0.03
    shift_ms: int = 0
    """How far its frames are out of step with the model's."""
    loses_up: Collection[int] = ()
    loses_down: Collection[int] = ()
    """Counted over the call: the first frame of the first answer is 0."""
    stalls: tuple[tuple[int, float], ...] = ()
    """Before which frame of its own, counted over the call, it stands still for how long."""
    goes_on_s: float = 0.1
    """For how long the agent is heard after the caller has begun to speak."""


@dataclass(slots=True)
class Made:
    """A call that is over."""

    result: CallResult
    log: SessionLog

    @property
    def sessions(self) -> list[SessionLog]:
        """The call's connection among those of others."""
        return [session_log(NUMBER + 1), self.log, session_log(None)]


def session_log(number: int | None) -> SessionLog:
    """A connection of the call from this number; None: of an agent that tells no number."""
    told = "" if number is None else f"You answer. The caller's number is +1555{number:07d}."
    return SessionLog(
        number=1,
        path="",
        headers={},
        opened_at=RANG_AT + 0.6,
        keep=Keep(audio_s=1e6, arrivals=True),
        setup={"systemInstruction": {"parts": [{"text": told}]}},
    )


def make_call(
    bridge: Bridge,
    *,
    speaks: tuple[tuple[float, float], ...] = ((2.0, 3.0),),
    answered_s: float = 0.5,
    lasts_s: float = 10.0,
    model_s: float = 0.6,
    line: range = LINE,
) -> Made:
    """Make a call whose caller speaks at these times, each of them a question."""
    log = session_log(NUMBER)
    spoken, came_at = _speak(bridge, speaks, answered_s, lasts_s, log)
    timeline = Timeline(RANG_AT)
    playout = Playout(timeline)
    frames_down = 0
    for index, (_, end_s) in enumerate(speaks):
        last_loud = round((end_s - answered_s) / 0.02) - 1
        sent_at = came_at[last_loud] + model_s
        log.said.append(SaidTurn(sent_at, sent_at=sent_at))
        until = RANG_AT + lasts_s
        if index + 1 < len(speaks):
            until = min(until, RANG_AT + speaks[index + 1][0] + bridge.goes_on_s)
        _answer(bridge, playout, line, sent_at + bridge.downlink_s, until, frames_down)
        frames_down += len(line)
    size = timeline.position(RANG_AT + lasts_s)
    result = CallResult(
        sid="CA1",
        status="completed",
        answered_at_s=answered_s,
        duration_s=lasts_s,
        heard=timeline.until(size),
        spoken=spoken,
        played_ms=timeline.spans_ms(),
        events=HUNG_UP,
        warnings=(),
        webhooks=(),
        script_finished=True,
        open_sockets=0,
        voices=(Voice("MZ1", 1, answered_s, lasts_s, Heard(), Heard(), 0.0),),
    )
    return Made(result, log)


def _speak(
    bridge: Bridge,
    speaks: tuple[tuple[float, float], ...],
    answered_s: float,
    lasts_s: float,
    log: SessionLog,
) -> tuple[bytes, dict[int, float]]:
    spoken = bytearray(SILENCE * round(answered_s * 8000))
    came_at: dict[int, float] = {}
    for code in range(round((lasts_s - answered_s) / 0.02)):
        due_s = answered_s + code * 0.02
        loud = any(start - 1e-6 <= due_s < end - 1e-6 for start, end in speaks)
        wrapped = code % position_code.CODES
        spoken += phone_audio.coded(wrapped, loud=loud).ulaw
        came_at[code] = RANG_AT + due_s + bridge.uplink_s
        if code not in bridge.loses_up:
            pcm = position_code.encode(wrapped, rate_hz=LIVE_RATE_HZ, loud=loud)
            log.audio(pcm, LIVE_RATE_HZ, came_at[code])
    return bytes(spoken), came_at


def _answer(
    bridge: Bridge, playout: Playout, line: range, at: float, until: float, frames_down: int
) -> None:
    """Let the bridge pass an answer on: paced, in frames of its own, stopped when it must."""
    ulaw = b"".join(phone_audio.coded(code, loud=True).ulaw for code in line)
    ulaw = SILENCE * (8 * bridge.shift_ms) + ulaw
    stalls = dict(bridge.stalls)
    late_s = 0.0
    for number in range(-(-len(ulaw) // FRAME_BYTES)):
        late_s += stalls.get(frames_down + number, 0.0)
        now = at + number * 0.02 + late_s
        if now >= until:
            break
        if frames_down + number not in bridge.loses_down:
            playout.play(ulaw[number * FRAME_BYTES : (number + 1) * FRAME_BYTES], now)
    else:
        return
    playout.stop(until)

"""Looks into a call that is over: what was heard and said, frame by frame, on both ends."""

from __future__ import annotations

import audioop
from collections.abc import Iterator
from dataclasses import dataclass

import orjson

from agent.conversation.record import CallRecord
from workers.entrypoints.drill import tools
from workers.entrypoints.drill.model_script import lines_of
from workers.entrypoints.drill.observed import FRAME_MS, Coded, Connected, Execution, Observed
from workers.entrypoints.drill.recipe import Recipe
from workers.twin import phone_audio
from workers.twin.live_api.session_log import SessionLog
from workers.twin.twilio_api.result import CallResult

# The phone's frames are speech to the twin's models from this RMS on (300 to 900 by sensitivity).
_LOUD_RMS = 600
# µ-law silence is below 10; the quiet codes of a caller are never heard back.
_AUDIBLE_RMS = 40
# A note of the worker's own filler is longer; what starved playout leaves of numbers is shorter.
_NOISE_MS = 200.0
# The phone sends its first frame when the stream has run for about this long (Twilio twin).
_FIRST_FRAME_S = 0.07


@dataclass(slots=True)
class Finished:
    """A call that is over, before anybody has looked into its audio."""

    recipe: Recipe
    run: str
    result: CallResult
    record: CallRecord
    start_s: float
    """When the telephone began to ring, by the clock of the Live twin."""
    connections: list[SessionLog]
    refused_dials: int
    left_open: tuple[str, ...]
    recording: bytes | None = None


def observe(call: Finished) -> Observed:
    """Look into a call: a tenth of a second of work for each ten of the call, or more."""
    recipe, result = call.recipe, call.result
    known = {code for line in lines_of(recipe.live) for code in line}
    spoken = tuple(Coded(found.at_ms, found.code) for found in result.spoken_codes())
    heard = tuple(Coded(found.at_ms, found.code) for found in result.heard_codes())
    started = result.named("stream-started")
    stream_s = started[0].at_s if started else 0.0
    first_ms = (stream_s + _FIRST_FRAME_S) * 1000
    carrier = [event.at_s for event in result.events if event.kind in ("say", "dial")]
    return Observed(
        record=call.record,
        connections=tuple(_connected(log, call.start_s) for log in call.connections),
        refused_dials=call.refused_dials,
        stream_s=stream_s,
        first_streamed=next((one.code for one in spoken if one.at_ms >= first_ms), 0),
        spoken=spoken,
        loud=frozenset(one.code for one in spoken if _rms(result.spoken, one.at_ms) >= _LOUD_RMS),
        heard=tuple(one for one in heard if one.code in known),
        noises_ms=_noises_ms(result, heard, until_s=min(carrier, default=result.duration_s)),
        said=tuple(str(event.data["text"]) for event in result.named("say")),
        bridged=bool(result.named("bridged")),
        executions=tuple(
            Execution(one.key, tools.result_of(one.key), one.finished)
            for one in tools.runs_of(f"{call.run}:")
        ),
        left_open=call.left_open,
        ended_ms=result.duration_s * 1000,
    )


def _connected(log: SessionLog, start_s: float) -> Connected:
    return Connected(
        number=log.number,
        opened_s=log.opened_at - start_s,
        closed_s=None if log.closed_at is None else log.closed_at - start_s,
        ready=log.ready_at is not None,
        resumed=log.resumed_from is not None,
        caller_codes=tuple(log.codes()),
        instruction=log.system_instruction,
        texts=tuple(log.texts),
        history=tuple(_history(log)),
        memory=tuple(f"{role}: {text}" for role, text in log.memory),
        tool_answers=tuple(_json(answer) for answer in log.tool_responses),
        stray_answers=tuple(_json(answer) for answer in log.stray_tool_responses),
    )


def _history(log: SessionLog) -> Iterator[str]:
    """Read what was said before out of the messages that bring it."""
    for message in log.messages:
        for turn in message.get("clientContent", {}).get("turns", ()):
            speaker = {"model": "You", "user": "Caller"}.get(turn.get("role"), turn.get("role"))
            for part in turn.get("parts", ()):
                yield f"{speaker}: {part.get('text', '')}"


def _json(value: object) -> str:
    return orjson.dumps(value).decode()


def _rms(ulaw: bytes, at_ms: float) -> int:
    at = round(at_ms * phone_audio.RATE_HZ / 1000)
    return audioop.rms(phone_audio.to_pcm(ulaw[at : at + phone_audio.FRAME_BYTES]), 2)


def _noises_ms(
    result: CallResult, heard: tuple[Coded, ...], *, until_s: float
) -> tuple[tuple[float, float], ...]:
    """Find what was to be heard without being a number: whole frames, for a fifth of a second."""
    coded = {round(edge // FRAME_MS) for one in heard for edge in _edges(one)}
    found: list[tuple[float, float]] = []
    for number in range(int(min(until_s, result.duration_s) * 1000) // FRAME_MS):
        start = float(number * FRAME_MS)
        if number in coded or _rms(result.heard, start) < _AUDIBLE_RMS:
            continue
        if found and start == found[-1][1]:
            found[-1] = (found[-1][0], start + FRAME_MS)
        else:
            found.append((start, start + FRAME_MS))
    return tuple(noise for noise in found if noise[1] - noise[0] >= _NOISE_MS)


def _edges(one: Coded) -> tuple[float, float]:
    return one.at_ms, one.at_ms + FRAME_MS - 1

"""Puts together what a call and those it dialled leave behind."""

from __future__ import annotations

from workers.twin.twilio_api.line import Line
from workers.twin.twilio_api.media.stream import MediaStream
from workers.twin.twilio_api.media.voice import VoiceLog
from workers.twin.twilio_api.result import CallResult
from workers.twin.twilio_api.voices import Heard, Voice


def call_result(line: Line, ended_at_s: float, *, dialled_at_s: float = 0.0) -> CallResult:
    """Sum up a call that ended ``ended_at_s`` after its beginning, its legs included."""
    heard = line.party.heard
    size = heard.position(heard.start_s + ended_at_s)
    legs = []
    for leg in line.legs:
        began_s = leg.journal.start_s - line.journal.start_s
        over_s = ended_at_s - began_s if leg.ended_at_s is None else leg.ended_at_s
        legs.append(call_result(leg, over_s, dialled_at_s=began_s))
    return CallResult(
        sid=line.facts.sid,
        status=line.facts.state,
        answered_at_s=line.answered_at_s,
        duration_s=ended_at_s,
        heard=heard.until(size),
        spoken=bytes(line.party.spoken[:size]).ljust(size, b"\xff"),
        played_ms=heard.spans_ms(),
        events=tuple(line.journal.events),
        warnings=tuple(line.journal.warnings),
        webhooks=tuple(line.journal.webhooks),
        script_finished=line.party.performer.finished,
        open_sockets=sum(stream.is_connected for stream in line.streams),
        legs=tuple(legs),
        dialled_at_s=dialled_at_s,
        recorded=line.recorded(),
        voices=_voices(line.streams, line.journal.start_s),
    )


def _voices(streams: list[MediaStream], start_s: float) -> tuple[Voice, ...]:
    started = [
        (stream.started_at_s, stream) for stream in streams if stream.started_at_s is not None
    ]
    started.sort(key=lambda one: one[0])
    return tuple(
        Voice(
            stream_sid=stream.request.stream_sid,
            number=number,
            started_s=at_s - start_s,
            ended_s=None if stream.over_at_s is None else stream.over_at_s - start_s,
            heard=_heard(stream.heard, start_s),
            unheard=_heard(stream.unheard, start_s),
            cut_ms=stream.cut_ms,
            second=stream.request.second,
        )
        for number, (at_s, stream) in enumerate(started, start=1)
    )


def _heard(log: VoiceLog, start_s: float) -> Heard:
    return Heard(log.frames, tuple((a - start_s, b - start_s) for a, b in log.stretches))

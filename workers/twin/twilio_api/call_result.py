"""Puts together what a call and those it dialled leave behind."""

from __future__ import annotations

from workers.twin.twilio_api.line import Line
from workers.twin.twilio_api.result import CallResult


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
    )

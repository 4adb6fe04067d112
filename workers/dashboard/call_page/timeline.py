"""A call drawn on one time axis: a lane for each side and for each kind of event.

A lane appears only where it has something to show; a further kind of event is one more function
that returns a ``Lane``, or None.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import pairwise

from agent.conversation.record import CallRecord, Speaker, ToolRecord, TurnRecord
from workers.dashboard.call_page.axis import Axis, Lane, Mark, packed, ruler
from workers.dashboard.call_page.context_plot import context_lane
from workers.dashboard.call_page.memory_report import summaries_lane, updates_lane
from workers.dashboard.call_page.moves_report import move_lines, moves_lane
from workers.dashboard.call_page.waveform import Waveform, Waves
from workers.dashboard.markup import Markup, element, joined
from workers.dashboard.story import (
    SLOW_ANSWER_S,
    Tone,
    at,
    duration_s,
    grouped_keys,
    heard_and_not,
    long,
    plain,
    tool_verdict,
    was_cut,
)
from workers.dashboard.streams import left_of, shortened, stream_end

_WAVE_HEIGHT = 100
_TOOLS: dict[Tone, str] = {"good": "", "odd": "unknown", "bad": "failed"}


def timeline(record: CallRecord, waves: Waves | None) -> Markup:
    """Draw a call; without a recording the waveforms are left out."""
    axis = Axis(max(duration_s(record), waves.duration_s if waves else 0.0, 1.0))
    lanes = [lane for lane in _lanes(record, waves, axis) if lane]
    names = [
        element(
            "div", {"class": f"name {lane.kind}", "style": f"--rows:{lane.rows}"}, _name(lane.name)
        )
        for lane in lanes
    ]
    drawn = [
        element("div", {"class": f"lane {lane.kind}", "style": f"--rows:{lane.rows}"}, lane.content)
        for lane in lanes
    ]
    track = element(
        "div",
        {
            "class": "track",
            "style": f"--least:{axis.width_px:.0f}px",
            "data-call-s": f"{axis.until_s:.3f}",
        },
        ruler(axis),
        *drawn,
        _lines(record, axis),
        element("div", {"class": "playhead", "style": "left:0"}),
    )
    crowded = " crowded" if axis.crowded else ""
    return element(
        "div",
        {"class": f"timeline{crowded}", "role": "img", "aria-label": _summary(record, axis)},
        element("div", {"class": "names"}, *names),
        element("div", {"class": "scroller"}, track),
    )


def _lanes(record: CallRecord, waves: Waves | None, axis: Axis) -> Iterable[Lane | None]:
    yield _side(record, "caller", waves, axis)
    yield _delays(record, axis)
    yield _side(record, "agent", waves, axis)
    yield _cuts(record, axis)
    yield _tools(record, axis)
    yield _keys(record, axis)
    yield _streams(record, axis)
    yield moves_lane(record.moves, axis)
    yield context_lane(record, axis)
    yield summaries_lane(record.context.summaries, axis)
    yield updates_lane(record.context.updates, axis)


def _side(record: CallRecord, speaker: Speaker, waves: Waves | None, axis: Axis) -> Lane:
    turns = [(n, turn) for n, turn in enumerate(record.turns) if turn.speaker == speaker]
    # The words may run on past their bar, up to the side's next turn.
    nexts_s = [turn.started_s for _, turn in turns[1:]] + [axis.until_s]
    bars = [
        _bar(turn, number, max(next_s, turn.ended_s), axis)
        for (number, turn), next_s in zip(turns, nexts_s, strict=False)
    ]
    parts = [element("div", {"class": "bars"}, *bars)]
    if waves:
        wave = waves.agent if speaker == "agent" else waves.caller
        parts.append(_drawn_wave(wave, axis.share(waves.duration_s)))
    kind = f"side {speaker}" if waves else f"side {speaker} unrecorded"
    return Lane(speaker.capitalize(), kind, joined(*parts))


def _bar(turn: TurnRecord, number: int, until_s: float, axis: Axis) -> Markup:
    if was_cut(turn):
        until_s = turn.ended_s
    spoken = (turn.ended_s - turn.started_s) / max(until_s - turn.started_s, 0.001)
    return element(
        "span",
        {
            "class": "turn cut" if was_cut(turn) else "turn",
            "style": axis.place(turn.started_s, until_s),
            "title": f"{at(turn.started_s)}  {turn.said}",
            "data-turn": number,
        },
        element("i", {"style": f"width:{100 * min(max(spoken, 0.0), 1.0):.2f}%"}),
        element("b", None, heard_and_not(turn)[0]),
    )


def _drawn_wave(wave: Waveform, width: float) -> Markup:
    points = max(1, len(wave.rms))
    outer = element("path", {"class": "peaks", "d": _outline(wave.high, wave.low)})
    inner = element("path", {"class": "rms", "d": _outline(wave.rms, [-y for y in wave.rms])})
    return element(
        "svg",
        {
            "class": "wave",
            "style": f"width:{width:.3f}%",
            "viewBox": f"0 0 {points} {2 * _WAVE_HEIGHT}",
            "preserveAspectRatio": "none",
        },
        outer,
        inner,
    )


def _outline(high: list[float], low: list[float]) -> str:
    """Return a closed path along the upper edge and back along the lower."""

    def y(value: float) -> int:
        # Between linear and decibels: speech at -30 dBFS is seen, a line's noise hardly.
        shown = min(1.0, 1.3 * math.pow(abs(value), 0.65)) * _WAVE_HEIGHT
        return round(_WAVE_HEIGHT - shown if value > 0 else _WAVE_HEIGHT + shown)

    there = [f"{x} {y(value)}" for x, value in enumerate(high)]
    back = [f"{x} {y(low[x])}" for x in range(len(low) - 1, -1, -1)]
    return f"M{'L'.join(there + back)}Z" if there else ""


def _delays(record: CallRecord, axis: Axis) -> Lane | None:
    spans = [
        element(
            "span",
            {
                "class": "delay slow" if delay_s > SLOW_ANSWER_S else "delay",
                "style": axis.place(turn.started_s - delay_s, turn.started_s),
                "title": f"answered after {long(delay_s)}",
            },
            element("b", None, long(delay_s)),
        )
        for turn, delay_s in _answered(record.turns)
    ]
    return Lane("Answer delay", "delays", joined(*spans)) if spans else None


def _answered(turns: list[TurnRecord]) -> list[tuple[TurnRecord, float]]:
    return [(turn, turn.answer_delay_s) for turn in turns if turn.answer_delay_s is not None]


def _cuts(record: CallRecord, axis: Axis) -> Lane | None:
    marks = [
        Mark(
            cut.at_s,
            cut.at_s + cut.cut_ms / 1000,
            f"{long(cut.cut_ms / 1000)} cut",
            f"{at(cut.at_s)}  the caller interrupted; {long(cut.cut_ms / 1000)} of the agent's"
            " speech were not played",
        )
        for cut in record.barge_ins
    ]
    return packed("Barge-in", "cuts", marks, axis, inside=True)


def _tools(record: CallRecord, axis: Axis) -> Lane | None:
    marks = [
        Mark(
            tool.started_s,
            tool.ended_s,
            _tool_label(tool),
            f"{at(tool.started_s)}  {tool.name}({plain(tool.args)}) → {_result(tool)}",
            _TOOLS[tool_verdict(tool)[0]],
        )
        for tool in record.tools
    ]
    return packed("Tools", "tools", marks, axis)


def _tool_label(tool: ToolRecord) -> str:
    if tool.outcome == "unknown":
        # Nor is it known how long it took.
        return f"{tool.name} · unknown"
    label = f"{tool.name} · {long(tool.ended_s - tool.started_s)}"
    return label if tool.outcome == "ok" else f"{label} · {tool.outcome}"


def _result(tool: ToolRecord) -> str:
    return plain(tool.response) if tool.response or tool.outcome == "ok" else tool_verdict(tool)[1]


def _keys(record: CallRecord, axis: Axis) -> Lane | None:
    marks = [
        Mark(
            keys.at_s,
            keys.at_s,
            f"{keys.digits} {'sent' if keys.sent else 'pressed'}",
            f"{at(keys.at_s)}  {'sent by the agent' if keys.sent else 'pressed by the caller'}",
            "sent" if keys.sent else "",
        )
        for keys in grouped_keys(record.digits)
    ]
    return packed("Keys", "keys", marks, axis)


def _streams(record: CallRecord, axis: Axis) -> Lane | None:
    """Mark who served the call from when until when; nothing where one stream did."""
    if len(record.streams) < 2:
        return None
    marks = [_stream_mark(record, number, axis) for number in range(1, len(record.streams) + 1)]
    return packed("Streams", "streams", marks, axis, inside=True)


def _stream_mark(record: CallRecord, number: int, axis: Axis) -> Mark:
    stream = record.streams[number - 1]
    tone, ended = stream_end(record, number)
    until_s = stream.ended_s
    if until_s is None:
        # Its worker died, and nobody knows when: at the latest when the next stream began.
        last = number == len(record.streams)
        until_s = axis.until_s if last else record.streams[number].started_s
    who = stream.worker or "worker not known"
    return Mark(
        stream.started_s,
        max(stream.started_s, until_s),
        f"{number} · {shortened(stream.worker)}" if stream.worker else f"{number}",
        f"{at(stream.started_s)} to {at(until_s)}  stream {number} at {who}"
        f" ({stream.stream_sid}). {ended}{'. ' if stream.detail else ''}{stream.detail}",
        tone,
    )


def _lines(record: CallRecord, axis: Axis) -> Markup:
    """Draw what concerns every lane: barge-ins, moves, where a further stream began."""
    lines = [
        element("i", {"class": "line barge-in", "style": axis.place(barge_in.at_s)})
        for barge_in in record.barge_ins
    ]
    lines += [
        element(
            "i",
            {
                "class": f"line stream {left_of(before)[0]}",
                "style": axis.place(stream.started_s),
                "title": f"stream {number}",
            },
        )
        for number, (before, stream) in enumerate(pairwise(record.streams), start=2)
    ]
    return joined(*lines, *move_lines(record.moves, axis))


def _name(name: str) -> Markup:
    return element("span", None, name)


def _summary(record: CallRecord, axis: Axis) -> str:
    context = record.context
    held = (
        f" Below them the size of the model's context: at most {context.most_tokens:,} tokens,"
        f" {len(context.cuts)} cuts."
        if context.samples
        else ""
    )
    return (
        f"Time axis of {long(axis.until_s)} with {len(record.turns)} turns,"
        f" {len(record.barge_ins)} barge-ins, {len(record.tools)} tool calls,"
        f" {len(record.digits)} keys and {len(record.moves)} moves between Live connections,"
        f" over {len(record.streams)} media streams;"
        f" the transcript below lists the same in order.{held}"
    )

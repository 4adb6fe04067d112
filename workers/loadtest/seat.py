"""What one caller experienced, from what their telephone and the simulated model have kept.

A question is what the caller said between two pauses; it ends when its last loud frame leaves the
telephone, which the twin lets happen as the frame's place in the call's time begins. Its answer is
the first sound played after that. Both are told by loudness, so that they mean the same whoever
plays the model; numbered frames add what was lost, and what the model itself took.

What came late because the caller's own end did not read is left out.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from workers.loadtest.agent_frames import LONGEST_GAP_MS, count_heard, numbered_frames
from workers.loadtest.ending import ending_of
from workers.loadtest.live_side import (
    Connected,
    connections_of,
    count_caller,
    look_into,
    model_took_s,
    turns_of,
)
from workers.loadtest.loudness import FINE_MS, Span, holes, levels, loud_spans, loudness_dbfs
from workers.loadtest.measured import (
    Answered,
    BargedIn,
    CallMeasured,
    Ending,
    FramesCounted,
    Gap,
)
from workers.loadtest.plan import LineTrouble, Persona
from workers.loadtest.unread import unread_ms, within
from workers.twin import position_code
from workers.twin.live_api.session_log import SessionLog
from workers.twin.phone_audio import FRAME_BYTES, FRAME_MS, to_pcm
from workers.twin.phone_audio import RATE_HZ as PHONE_RATE_HZ
from workers.twin.twilio_api.result import CallResult

# A pause within what somebody says; simulated callers leave more between two questions. Speech in
# numbers has none, and the load test's agent takes 300 ms for the end of a turn.
_NUMBERED_PAUSE_MS: Final = 240.0
_SPOKEN_PAUSE_MS: Final = 700.0
_AGENT_PAUSE_MS: Final = 200.0
_CLICK_MS: Final = 10.0
# The first frame goes out when a stream has run for about this long (the Twilio twin).
_FIRST_FRAME_S: Final = 0.08
# When that was is known to a few frames.
_SETTLED_S: Final = 0.1
# What was sent so shortly before the end may be on its way, through a worker that is late.
_ON_THE_WAY_S: Final = 1.0
# How far into the call its first numbered frame is looked for.
_FIRST_FRAMES: Final = 50


def measure(
    call: CallResult,
    *,
    number: int,
    persona: Persona,
    lines: tuple[LineTrouble, ...] = (),
    began_s: float,
    calls_at_once: int,
    rang_at: float = 0.0,
    sessions: Sequence[SessionLog] = (),
    model_lines: Sequence[range] = (),
    stopped: bool = False,
    late_frames: int = 0,
    reset_gaps_ms: tuple[float, ...] = (),
) -> CallMeasured:
    """Measure a call that is over: about 1 ms of work for each second of it.

    Args:
        call: What the twin of Twilio has kept.
        number: Of the call within the test, from 1.
        persona: Who called.
        lines: What was wrong with the line.
        began_s: When it rang, in seconds of the test.
        calls_at_once: How many there were then.
        rang_at: When it rang, by the clock of the Live twin.
        sessions: Connections of the Live twin, those of other calls among them; it has to keep
            their audio and ``arrivals``.
        model_lines: The numbers of each line of the model; none where it is the real one.
        stopped: The test was broken off while this call was under way.
        late_frames: Of what the caller sent.
        reset_gaps_ms: By the worker's own reports.
    """
    fine = levels(call.heard, block_ms=FINE_MS)
    agent = loud_spans(fine, block_ms=FINE_MS, join_ms=_AGENT_PAUSE_MS, least_ms=_CLICK_MS)
    caller = loud_spans(
        levels(call.spoken, block_ms=FRAME_MS),
        block_ms=FRAME_MS,
        join_ms=_NUMBERED_PAUSE_MS if model_lines else _SPOKEN_PAUSE_MS,
    )
    counts_from_s = _counts_from_s(call) if model_lines else None
    connected: list[Connected] = []
    if counts_from_s is not None:
        connected = [
            look_into(log, counts_from=rang_at + counts_from_s)
            for log in connections_of(sessions, number)
        ]
    ending, reason = ending_of(call, stopped=stopped)
    answers, unanswered = _answers(caller, agent, last_counts=ending is not Ending.STOPPED)
    if counts_from_s is not None:
        answers = [
            _with_model(one, connected, rang_at=rang_at, counts_from_s=counts_from_s)
            for one in answers
        ]
    heard, gaps = FramesCounted(), tuple(_gap(hole) for hole in _starved(call))
    if model_lines:
        counted = count_heard(
            numbered_frames(call.heard, call.played_ms, model_lines),
            fine,
            turns_ms=[(at - rang_at) * 1000 for at in turns_of(connected)] if connected else None,
            barge_ins_ms=[start for start, _ in caller],
        )
        heard, gaps = counted.frames, counted.gaps
    unread = unread_ms(call)
    return CallMeasured(
        number=number,
        sid=call.sid,
        persona=persona,
        lines=lines,
        began_s=began_s,
        calls_at_once=calls_at_once,
        ending=ending,
        reason=reason,
        answered_s=call.answered_at_s,
        duration_s=call.duration_s,
        first_word_ms=_first_word_ms(call, agent),
        answers=tuple(
            one for one in answers if not within(one.asked_s * 1000 + one.delay_ms, unread)
        ),
        unanswered=unanswered,
        barge_ins=tuple(
            one
            for one in _barge_ins(caller, agent)
            if not within(one.began_s * 1000 + one.stop_ms, unread)
        ),
        gaps=tuple(gap for gap in gaps if not within(gap.at_s * 1000 + gap.ms, unread)),
        reset_gaps_ms=reset_gaps_ms,
        caller_frames=_caller_frames(call, connected, rang_at, counts_from_s),
        agent_frames=heard,
        loudness_dbfs=loudness_dbfs(fine),
        late_frames=late_frames,
        caller_spoke=_seconds(caller),
        agent_spoke=_seconds(agent),
    )


def _answers(
    caller: Sequence[Span], agent: Sequence[Span], *, last_counts: bool
) -> tuple[list[Answered], int]:
    """Find the first sound after each question, and count the questions that none came to."""
    answers: list[Answered] = []
    unanswered = 0
    starts = [start for start, _ in agent]
    for number, (began_ms, ended_ms) in enumerate(caller, start=1):
        until_ms = caller[number][0] if number < len(caller) else float("inf")
        # The last loud frame has left when its own place in time begins.
        asked_ms = ended_ms - FRAME_MS
        index = bisect_right(starts, asked_ms)
        if index < len(starts) and starts[index] < until_ms:
            answers.append(Answered(asked_ms / 1000, starts[index] - asked_ms))
        elif index and starts[index - 1] > began_ms and agent[index - 1][1] > asked_ms:
            # An answer that began before the question had ended: no delay can be told.
            continue
        elif last_counts or until_ms != float("inf"):
            unanswered += 1
    return answers, unanswered


def _barge_ins(caller: Sequence[Span], agent: Sequence[Span]) -> list[BargedIn]:
    """Find what the caller said while the agent spoke, and how long the agent went on."""
    starts = [start for start, _ in agent]
    found: list[BargedIn] = []
    for began_ms, _ in caller:
        index = bisect_right(starts, began_ms)
        if index and agent[index - 1][1] > began_ms > agent[index - 1][0]:
            found.append(BargedIn(began_ms / 1000, agent[index - 1][1] - began_ms))
    return found


def _with_model(
    one: Answered, connected: Sequence[Connected], *, rang_at: float, counts_from_s: float
) -> Answered:
    took_s = model_took_s(
        connected,
        round((one.asked_s - counts_from_s) * 1000 / FRAME_MS),
        asked=rang_at + one.asked_s,
        heard=rang_at + one.asked_s + one.delay_ms / 1000,
    )
    return one if took_s is None else Answered(one.asked_s, one.delay_ms, took_s * 1000)


def _caller_frames(
    call: CallResult, connected: Sequence[Connected], rang_at: float, counts_from_s: float | None
) -> FramesCounted:
    if counts_from_s is None:
        return FramesCounted()
    own = [voice for voice in call.voices if not voice.second]
    unsent = [
        (rang_at + before.ended_s, rang_at + after.started_s + _FIRST_FRAME_S)
        for before, after in pairwise(own)
        if before.ended_s is not None
    ]
    owed = None
    if own:
        # A bridge that hears nothing at first, or nothing any more, loses frames at an end.
        ended_s = call.duration_s if own[-1].ended_s is None else own[-1].ended_s
        begins_s = own[0].started_s + _FIRST_FRAME_S + _SETTLED_S
        owed = (rang_at + begins_s, rang_at + ended_s - _ON_THE_WAY_S)
    return count_caller(connected, counts_from=rang_at + counts_from_s, unsent=unsent, owed=owed)


def _counts_from_s(call: CallResult) -> float | None:
    """Return when the caller's frame 0 was due; None where their frames have no numbers."""
    if call.answered_at_s is None:
        return None
    first = int(call.answered_at_s * 1000 / FRAME_MS)
    for tick in range(first, first + _FIRST_FRAMES):
        frame = call.spoken[tick * FRAME_BYTES : (tick + 1) * FRAME_BYTES]
        if len(frame) < FRAME_BYTES:
            return None
        code = position_code.decode_frame(to_pcm(frame), rate_hz=PHONE_RATE_HZ)
        if code is not None:
            return (tick - code) * FRAME_MS / 1000
    return None


def _first_word_ms(call: CallResult, agent: Sequence[Span]) -> float | None:
    if call.answered_at_s is None or not agent:
        return None
    return max(0.0, agent[0][0] - call.answered_at_s * 1000)


def _starved(call: CallResult) -> list[Span]:
    return holes(call.played_ms, longest_ms=LONGEST_GAP_MS)


def _gap(hole: Span) -> Gap:
    return Gap(hole[0] / 1000, hole[1] - hole[0])


def _seconds(spans: Sequence[Span]) -> tuple[Span, ...]:
    return tuple((start / 1000, end / 1000) for start, end in spans)

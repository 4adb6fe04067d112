"""Answering machine detection: who answered, and when Twilio knows it.

Source: Twilio reference, 5.2; twilio.com/docs/voice/answering-machine-detection.
"""

from __future__ import annotations

import asyncio
import contextlib

from workers.twin.twilio_api.callee import MACHINE, CalleeBehaviour, machine_verdict
from workers.twin.twilio_api.line import Line
from workers.twin.twilio_api.order import Detection

# MachineDetectionSpeechEndThreshold: so much silence ends a greeting (Twilio reference, 4.1).
SPEECH_END_S = 1.2


async def detect(
    line: Line, callee: CalleeBehaviour, detection: Detection, heard_out: asyncio.Event
) -> dict[str, str]:
    """Find out who answered; give the parameters that tell it.

    ``heard_out`` is set when the greeting of a voicemail is over, or the call.
    """
    answered_by, after_s = callee.answered_by, callee.verdict_after_s
    if answered_by == MACHINE:
        answered_by = machine_verdict(callee.voicemail, message_end=detection.message_end)
        if detection.message_end and callee.voicemail is not None:
            answered_by, after_s = await _hear_out(line, answered_by, detection, heard_out)
            return _told(line, answered_by, after_s)
    if after_s > detection.timeout_s:
        answered_by, after_s = "unknown", detection.timeout_s
    await line.desk.sleep(after_s)
    return _told(line, answered_by, after_s)


async def _hear_out(
    line: Line, verdict: str, detection: Detection, heard_out: asyncio.Event
) -> tuple[str, float]:
    """Wait until a greeting is over; give the verdict, and how long it took.

    A greeting is audio: neither it nor the patience for it passes faster than that.
    """
    began_s = line.journal.now_s()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(detection.timeout_s):
            await heard_out.wait()
            if line.recorded_from_s is not None:
                if verdict == "machine_end_silence":
                    await asyncio.sleep(SPEECH_END_S)
                return verdict, line.journal.now_s() - began_s
    return "unknown", line.journal.now_s() - began_s


def _told(line: Line, answered_by: str, after_s: float) -> dict[str, str]:
    line.facts.answered_by = answered_by
    return {
        "AnsweredBy": answered_by,
        "MachineDetectionDuration": str(round(after_s * 1000)),
    }

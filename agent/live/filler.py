"""What the caller hears when a gap is long: a sound of the operator's, or two soft notes."""

from __future__ import annotations

import math
import wave
from array import array
from functools import cache
from pathlib import Path

from agent.audio import OUTPUT_RATE_HZ, PcmChunk
from agent.errors import AgentSpecError, SpecIssue
from agent.spec import AgentSpec

MAX_FILLER_S = 5.0
# Two notes a fourth apart, as lifts and trains announce that something is about to be said. Soft:
# -26 dBFS under speech at -20.
_NOTES_HZ = (392.0, 523.25)
_NOTE_MS = 260
_PEAK = 2_300
_RATES_HZ = range(8_000, 48_001)


def load_filler(spec: AgentSpec) -> PcmChunk:
    """Read the agent's filler, or return the soft notes where it names none.

    Raises:
        AgentSpecError: the file cannot be used; names the field's line.
    """
    if spec.moves.filler is None:
        return soft_notes()
    path = (spec.folder or Path()) / spec.moves.filler
    try:
        with wave.open(str(path), "rb") as file:
            rate_hz, frames = file.getframerate(), file.getnframes()
            if file.getnchannels() != 1 or file.getsampwidth() != 2:
                raise ValueError("must be mono PCM16")
            if rate_hz not in _RATES_HZ or rate_hz % 25:
                raise ValueError(f"has an unlikely rate, {rate_hz} Hz")
            if not 0 < frames <= MAX_FILLER_S * rate_hz:
                raise ValueError(f"must last up to {MAX_FILLER_S:g} s, lasts {frames / rate_hz:g}")
            pcm = file.readframes(frames)
            if len(pcm) != 2 * frames:
                raise ValueError("is cut short")
            return PcmChunk(pcm, rate_hz)
    except (OSError, EOFError, wave.Error, ValueError) as error:
        issue = spec.issue(("moves", "filler"), f"{path}: {error}")
        raise AgentSpecError([issue]) from error


def filler_issues(spec: AgentSpec) -> list[SpecIssue]:
    """Return what is wrong with the file, with the line that names it."""
    try:
        load_filler(spec)
    except AgentSpecError as error:
        return list(error.issues)
    return []


@cache
def soft_notes() -> PcmChunk:
    """Return two soft notes that need no language, PCM16 at 24 kHz."""
    samples = array("h")
    size = OUTPUT_RATE_HZ * _NOTE_MS // 1000
    for hz in _NOTES_HZ:
        for n in range(size):
            swell = math.sin(math.pi * n / size) ** 2
            samples.append(round(_PEAK * swell * math.sin(math.tau * hz * n / OUTPUT_RATE_HZ)))
    return PcmChunk(samples.tobytes(), OUTPUT_RATE_HZ)

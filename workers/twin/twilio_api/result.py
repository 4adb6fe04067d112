"""What a simulated call leaves behind for tests, the demo and benchmarks to look at.

Times count seconds from the moment the call began; ``heard`` and ``spoken`` begin there too, so
that sample ``8000 * at_s`` is what was heard when an event happened.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from workers.twin import dtmf, phone_audio
from workers.twin.position_code import Found
from workers.twin.twilio_api.voices import StreamGap, TwoVoices, Voice, stream_gaps, two_voices


@dataclass(frozen=True, slots=True)
class TwinEvent:
    """Something that happened in the call."""

    at_s: float
    kind: str
    data: Mapping[str, object]


@dataclass(slots=True)
class Webhook:
    """One request to the worker and its answer; ``status`` is None where there was none."""

    kind: str
    url: str
    method: str
    params: Mapping[str, str]
    sent_at_s: float
    answered_at_s: float | None = None
    status: int | None = None
    body: bytes = b""
    error: str = ""
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class CallResult:
    """A call that has ended; ``heard`` and ``spoken`` are µ-law at 8 kHz."""

    sid: str
    status: str
    answered_at_s: float | None
    duration_s: float
    heard: bytes
    spoken: bytes
    played_ms: tuple[tuple[float, float], ...]
    events: tuple[TwinEvent, ...]
    warnings: tuple[tuple[int, str], ...]
    webhooks: tuple[Webhook, ...]
    script_finished: bool
    open_sockets: int
    legs: tuple[CallResult, ...] = ()
    """Calls that ``<Dial>`` made, in order; their times count from ``dialled_at_s`` of this one."""
    dialled_at_s: float = 0.0
    """When the call that dialled this one did so, in that call's time; 0 for other calls."""
    recorded: bytes = b""
    """What was heard while a step ``Record`` lasted: the message a voicemail has after its beep."""
    voices: tuple[Voice, ...] = ()
    """The streams that started, in that order, with when their servers spoke."""

    @property
    def digits_heard(self) -> str:
        """The keys whose tones the caller heard."""
        return dtmf.find_keys(self.heard)

    def heard_codes(self) -> list[Found]:
        """Find the numbered frames the caller heard; times since the call began."""
        return phone_audio.codes(self.heard)

    def spoken_codes(self) -> list[Found]:
        """Find the numbered frames the caller sent; times since the call began."""
        return phone_audio.codes(self.spoken)

    def named(self, kind: str) -> list[TwinEvent]:
        """Pick the events of one kind."""
        return [event for event in self.events if event.kind == kind]

    def warned(self, code: int) -> bool:
        """Say whether Twilio's debugger would show this code."""
        return any(found == code for found, _ in self.warnings)

    def gaps_ms(self, *, longest_ms: float) -> tuple[tuple[float, float], ...]:
        """Find holes in what was played, no longer than ``longest_ms``: starved playout.

        Longer ones are taken for pauses between utterances.
        """
        holes = ((before[1], after[0]) for before, after in pairwise(self.played_ms))
        return tuple(hole for hole in holes if hole[1] - hole[0] <= longest_ms)

    def two_voices(self, *, unheard: bool = False) -> list[TwoVoices]:
        """Find streams that spoke when a later one had begun to; ``unheard`` ones too if wanted."""
        return two_voices(self.voices, unheard=unheard)

    @property
    def stream_gaps(self) -> tuple[StreamGap, ...]:
        """What was between one stream and the next, in order."""
        asked = [(w.sent_at_s, w.answered_at_s) for w in self.webhooks if w.kind == "voice"]
        return stream_gaps(self.voices, asked)

    def heard_wav(self, path: Path) -> Path:
        """Write what the caller heard."""
        phone_audio.write_wav(path, self.heard)
        return path

    def stereo_wav(self, path: Path) -> Path:
        """Write both sides: the caller left, what the caller heard right."""
        phone_audio.write_wav(path, self.spoken, self.heard)
        return path

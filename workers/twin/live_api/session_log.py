"""What one connection of the server saw and did, for assertions."""

from __future__ import annotations

from array import array
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from workers.twin.live_api.memory import Line
from workers.twin.live_api.understanding import Codes, all_codes


@dataclass(frozen=True, slots=True)
class Keep:
    """How much a log keeps of each session; zeros for benchmarks."""

    audio_s: float = 180.0
    """Caller audio from the beginning; what comes later is counted only."""
    messages: int = 2000
    notes: int = 5000
    """The newest of these."""
    samples: int = 5000
    """Sizes of the context, the first of them."""
    arrivals: bool = False
    """The time at which each audio message arrived, and how much audio there was by then."""


NOTHING = Keep(audio_s=0, messages=0, notes=0, samples=0)


@dataclass(frozen=True, slots=True)
class Note:
    """Something that happened, at a time of the server's clock."""

    at: float
    kind: str
    detail: str = ""


@dataclass(slots=True)
class HeardTurn:
    """A turn of the caller; milliseconds count the caller audio of this connection."""

    text: str
    started_ms: float
    ended_ms: float
    at: float
    codes: Codes | None = None
    """First and last position code of its audio, where it has any."""


@dataclass(slots=True)
class SaidTurn:
    """A turn of the model: what was produced of it, and how it ended."""

    started_at: float
    text: str = ""
    audio_ms: float = 0.0
    sent_at: float | None = None
    """When its first audio went out; None where faults kept all of it back."""
    interrupted_at: float | None = None
    generated_at: float | None = None
    completed_at: float | None = None


@dataclass(frozen=True, slots=True)
class Cut:
    """What compression did to the context."""

    at: float
    before: int
    """Tokens, everything included."""
    after: int
    lines: tuple[tuple[str, str], ...]
    """What was forgotten: (role, text), in order."""


@dataclass(slots=True)
class SessionLog:
    """One connection, from its upgrade to its close."""

    number: int
    """Counts upgrades from 1, those included that a fault refused."""
    path: str
    headers: dict[str, str]
    opened_at: float
    keep: Keep = field(default_factory=Keep)
    setup: dict[str, Any] = field(default_factory=dict)
    """The setup message, names in camelCase."""
    resumed_from: int | None = None
    """The connection whose handle this one came with; None for a fresh session."""
    handle: str = ""
    """The handle that the setup named."""
    lines: list[Line] = field(default_factory=list)
    """What the model remembers by now, restored lines first; what was cut is not there."""
    context_updates: list[str] = field(default_factory=list)
    """Instructions that replaced the setup's, by ``contextUpdate``."""
    context_tokens: int = 0
    """The size of all that the model holds by now: its instruction, what was said and written, what
    the caller is saying, the answer produced so far."""
    context: list[tuple[float, int]] = field(default_factory=list)
    """When ``context_tokens`` was how much: as turns of either side end, as turns of the model
    begin, before a cut and after it."""
    cuts: list[Cut] = field(default_factory=list)
    frames_received: int = 0
    messages: list[dict[str, Any]] = field(default_factory=list)
    """Messages other than setup and audio, names in camelCase, in order."""
    audio_frames: int = 0
    audio_bytes: int = 0
    audio_rate_hz: int = 16_000
    # Not lists: a garbage collection looks at each number in one.
    arrivals: array[float] = field(default_factory=lambda: array("d"))
    arrived_bytes: array[int] = field(default_factory=lambda: array("q"))
    """``audio_bytes`` as it was after each of ``arrivals``: which message brought what."""
    texts: list[str] = field(default_factory=list)
    """Text of the client, by ``realtimeInput`` or ``clientContent``."""
    heard: list[HeardTurn] = field(default_factory=list)
    said: list[SaidTurn] = field(default_factory=list)
    tool_calls: list[dict[str, Any]] = field(default_factory=list)
    tool_responses: list[dict[str, Any]] = field(default_factory=list)
    stray_tool_responses: list[dict[str, Any]] = field(default_factory=list)
    """Answers to calls that were never made, answered before or cancelled."""
    cancelled_calls: list[str] = field(default_factory=list)
    handles: list[str] = field(default_factory=list)
    usage: list[dict[str, Any]] = field(default_factory=list)
    oddities: list[str] = field(default_factory=list)
    """What a client should not do although the server is not known to refuse it."""
    frames_sent: int = 0
    audio_sent_ms: float = 0.0
    frames_skipped: int = 0
    """Audio not sent because the client did not read (modes tone and stream)."""
    notes: deque[Note] = field(default_factory=deque)
    ready_at: float | None = None
    """When ``setupComplete`` was sent."""
    closed_at: float | None = None
    close_code: int | None = None
    """The code the connection ended with, whoever sent it; 1006 where none was."""
    close_reason: str = ""
    closed_by: str = ""
    """``client`` or ``server``."""
    _audio: bytearray = field(default_factory=bytearray)

    @property
    def open(self) -> bool:
        """Whether the connection is up."""
        return self.closed_at is None

    @property
    def caller_audio(self) -> bytes:
        """Caller audio kept, PCM16 at ``audio_rate_hz``."""
        return bytes(self._audio)

    def drop_audio(self) -> None:
        """Keep nothing more of the caller's audio."""
        self._audio.clear()

    def codes(self) -> list[int]:
        """Return the position codes in the caller audio that was kept, in order."""
        return all_codes(self.caller_audio, self.audio_rate_hz)

    @property
    def memory(self) -> list[tuple[str, str]]:
        """What the model remembers by now, in words: (role, text)."""
        return [(line.role, line.text) for line in self.lines if line.text]

    @property
    def system_instruction(self) -> str:
        """Text of the newest system instruction: the setup's, until ``contextUpdate``."""
        if self.context_updates:
            return self.context_updates[-1]
        parts = self.setup.get("systemInstruction", {}).get("parts", [])
        return "".join(part.get("text", "") for part in parts)

    def note(self, at: float, kind: str, detail: str = "") -> None:
        """Keep a note."""
        if self.keep.notes:
            if len(self.notes) >= self.keep.notes:
                self.notes.popleft()
            self.notes.append(Note(at, kind, detail))

    def noted(self, kind: str) -> list[Note]:
        """Return the notes of one kind."""
        return [note for note in self.notes if note.kind == kind]

    def sample(self, at: float, tokens: int) -> None:
        """Take ``tokens`` for the size of the context, and keep it up to the bound."""
        self.context_tokens = tokens
        if len(self.context) < self.keep.samples:
            self.context.append((at, tokens))

    def message(self, message: dict[str, Any]) -> None:
        """Keep a message that is not audio, up to the bound."""
        if len(self.messages) < self.keep.messages:
            self.messages.append(message)

    def audio(self, pcm: bytes, rate_hz: int, at: float) -> None:
        """Count caller audio, and keep it up to the bound."""
        self.audio_frames += 1
        self.audio_bytes += len(pcm)
        self.audio_rate_hz = rate_hz
        if self.keep.arrivals:
            self.arrivals.append(at)
            self.arrived_bytes.append(self.audio_bytes)
        room = int(self.keep.audio_s * rate_hz) * 2 - len(self._audio)
        if room > 0:
            self._audio += pcm[:room]
        if len(pcm) % 2 and len(self.oddities) < 100:
            self.oddities.append(f"audio of {len(pcm)} bytes: half a sample")

    def sent(self, answer: int, audio_ms: float, at: float) -> None:
        """Count a frame that went out at ``at``, with audio of the model's turn ``answer``."""
        self.frames_sent += 1
        self.audio_sent_ms += audio_ms
        # Engines that play no script say nothing in turns.
        if audio_ms and 0 < answer <= len(self.said) and self.said[answer - 1].sent_at is None:
            self.said[answer - 1].sent_at = at

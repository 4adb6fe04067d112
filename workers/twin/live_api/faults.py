"""Failures by recipe: plain data that says what goes wrong, when, and in which sessions.

A recipe replays exactly. Times count from ``setupComplete``; answers are the model's turns, from 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from workers.twin.live_api.engine import Send
from workers.twin.live_api.wire import encode

NO_CLOSE_FRAME = 1006


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something that goes wrong in the sessions numbered here, from 1; None means in all."""

    sessions: frozenset[int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RefuseUpgrade(Fault):
    """Answer the WebSocket upgrade with an HTTP status: 401, 403, 429, 503."""

    status: int = 503


@dataclass(frozen=True, slots=True, kw_only=True)
class HangBeforeSetup(Fault):
    """Take the setup message and never answer it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DelaySetup(Fault):
    """Answer the setup message late."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LatePongs(Fault):
    """Answer pings late (8 to 30 s were measured, sip-to-ai#14), or never (None)."""

    seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NeverAnswer(Fault):
    """Hear everything and send nothing, from this answer on; from 1: nothing after the setup."""

    answer: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed(Fault):
    """Happens once: after a time, or when ``audio_ms`` of an answer were sent."""

    after_s: float | None = None
    answer: int | None = None
    audio_ms: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Close(Timed):
    """Close the connection; code 1006 cuts the TCP connection without a close frame."""

    code: int = 1011
    reason: str = "Internal error encountered."


GarbageKind = Literal[
    "invalid_json",
    "not_utf8",
    "empty",
    "not_an_object",
    "unknown_key",
    "unknown_field",
    "wrong_type",
    "bad_base64",
    "half_sample",
    "error",
    "code",
    "text_frame",
]

GARBAGE: Mapping[GarbageKind, bytes | str] = {
    "invalid_json": b'{"serverContent": {"modelTurn": {"parts"',
    "not_utf8": b'{"serverContent": "\xff\xfe\xfd"}',
    "empty": b"",
    "not_an_object": b"[1, 2, 3]",
    "unknown_key": encode({"somethingNew": {"value": 1}}),
    "unknown_field": encode({"serverContent": {"somethingNew": {"value": 1}}}),
    "wrong_type": encode({"serverContent": {"modelTurn": "hello", "turnComplete": []}}),
    "bad_base64": encode(
        {
            "serverContent": {
                "modelTurn": {
                    "parts": [{"inlineData": {"mimeType": "audio/pcm;rate=24000", "data": "*!*"}}]
                }
            }
        }
    ),
    "half_sample": encode(
        {
            "serverContent": {
                "modelTurn": {
                    "parts": [{"inlineData": {"mimeType": "audio/pcm;rate=24000", "data": "AAAA"}}]
                }
            }
        }
    ),
    "error": encode({"error": {"code": 500, "message": "Internal", "status": "INTERNAL"}}),
    "code": encode({"code": 400, "message": "Bad request", "status": "INVALID_ARGUMENT"}),
    # Nothing wrong with it but that it is a text frame; clients must take both.
    "text_frame": '{"serverContent":{}}',
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Garbage(Timed):
    """Send frames that are no Live API messages, or that no client knows yet."""

    kinds: tuple[GarbageKind, ...] = tuple(GARBAGE)


@dataclass(frozen=True, slots=True, kw_only=True)
class OversizedFrame(Timed):
    """Send a valid frame larger than the 1 MiB that websockets takes by default."""

    size_bytes: int = 1_200_000

    @property
    def data(self) -> bytes:
        """The frame: a thought, so that a client that takes it has nothing to play."""
        part = {"text": "x" * self.size_bytes, "thought": True}
        return encode({"serverContent": {"modelTurn": {"parts": [part]}}})


_KINDS: Mapping[str, type[Fault]] = {
    "refuse_upgrade": RefuseUpgrade,
    "hang_before_setup": HangBeforeSetup,
    "delay_setup": DelaySetup,
    "late_pongs": LatePongs,
    "never_answer": NeverAnswer,
    "close": Close,
    "garbage": Garbage,
    "oversized_frame": OversizedFrame,
}


def fault_from(recipe: Mapping[str, Any]) -> Fault:
    """Build a fault from plain data: ``{"fault": "close", "code": 1011, "answer": 2}``.

    Raises:
        ValueError: No such fault, or a field it does not have.
    """
    fields = dict(recipe)
    kind = fields.pop("fault", None)
    if kind not in _KINDS:
        raise ValueError(f"unknown fault {kind!r}; known: {', '.join(_KINDS)}")
    if fields.get("sessions") is not None:
        fields["sessions"] = frozenset(fields["sessions"])
    if "kinds" in fields:
        fields["kinds"] = tuple(fields["kinds"])
    try:
        return _KINDS[kind](**fields)
    except TypeError as error:
        raise ValueError(f"fault {kind}: {error}") from error


class FaultPlan:
    """The faults of one session, and which of them have happened."""

    def __init__(self, faults: Iterable[Fault], session: int) -> None:
        self._faults = [f for f in faults if f.sessions is None or session in f.sessions]
        self._timed = [fault for fault in self._faults if isinstance(fault, Timed)]
        self._armed_at: float | None = None

    @property
    def refusal(self) -> int | None:
        """HTTP status to refuse the upgrade with."""
        return next((f.status for f in self._faults if isinstance(f, RefuseUpgrade)), None)

    @property
    def hangs(self) -> bool:
        """Whether the setup message is never answered."""
        return any(isinstance(fault, HangBeforeSetup) for fault in self._faults)

    @property
    def setup_delay_s(self) -> float:
        """Time to answer the setup message, on top of the usual."""
        return sum(fault.seconds for fault in self._faults if isinstance(fault, DelaySetup))

    @property
    def pong_delay_s(self) -> float | None:
        """Time to answer a ping; None for never."""
        late = next((fault for fault in self._faults if isinstance(fault, LatePongs)), None)
        return 0.0 if late is None else late.seconds

    def arm(self, now: float) -> None:
        """Start the clock: ``setupComplete`` was sent."""
        self._armed_at = now

    @property
    def deadline(self) -> float | None:
        """When the next fault is due by time."""
        if self._armed_at is None:
            return None
        times = [fault.after_s for fault in self._timed if fault.after_s is not None]
        return self._armed_at + min(times) if times else None

    def due(self, now: float) -> list[Timed]:
        """Return the faults whose time has come, each once."""
        if self._armed_at is None:
            return []
        age_s = now - self._armed_at
        return self._happened(
            [f for f in self._timed if f.after_s is not None and f.after_s <= age_s]
        )

    def before(self, send: Send) -> list[Timed]:
        """Return the faults that strike before this frame, each once."""
        if not self._timed:
            return []
        return self._happened(
            [
                fault
                for fault in self._timed
                if fault.answer is not None
                and (send.answer, send.before_ms) >= (fault.answer, fault.audio_ms)
            ]
        )

    def mutes(self, send: Send) -> bool:
        """Tell whether this frame is kept from the client."""
        return any(
            isinstance(fault, NeverAnswer) and (fault.answer <= 1 or send.answer >= fault.answer)
            for fault in self._faults
        )

    def _happened(self, faults: list[Timed]) -> list[Timed]:
        for fault in faults:
            self._timed.remove(fault)
        return faults

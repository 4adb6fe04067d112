"""Failures by recipe: plain data that says what goes wrong, when, and on which connections.

A recipe replays exactly. Answers, utterances, calls and so on count from 1, per connection.
Where each fault was seen is in the Live API reference; names in brackets are projects.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from workers.twin.live_api.engine import Event
from workers.twin.live_api.plain import build, one_of
from workers.twin.live_api.wire import encode

NO_CLOSE_FRAME = 1006
DEADLINE_EXPIRED = "Deadline expired before operation could complete."
UNSAID_TIME_LEFT_S = 50.0
"""How long a connection lives after a ``goAway`` that does not say it (sokuji#179 saw 50 s)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something that goes wrong on the connections numbered here, from 1; None means on all."""

    sessions: frozenset[int] | None = None


# -- before the setup is complete ------------------------------------------------------------------


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
class RefuseSetup(Fault):
    """Close instead of ``setupComplete``: quota, overload, a configuration that is not taken."""

    code: int = 1011
    reason: str = "The service is currently unavailable."
    when: Literal["any", "resume", "fresh"] = "any"
    """Which setups: those with a handle, those without, or both."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LingeringSocket(Fault):
    """Take the connection for open this long after it was closed: a resume is refused (1011)."""

    seconds: float


# -- while the connection is up --------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class LatePongs(Fault):
    """Answer pings late (8 to 30 s were measured, sip-to-ai#14), or never (None)."""

    seconds: float | None = None


Kind = Event | Literal["after_s", "answer", "speech"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed(Fault):
    """Happens once, when its trigger does; it has exactly one.

    With ``delay_s`` it happens that much later.
    """

    after_s: float | None = None
    """Seconds since ``setupComplete``, by the twin's time scale."""
    answer: int | None = None
    audio_ms: float = 0.0
    """When this much audio of the model's n-th turn was sent."""
    speech: int | None = None
    speech_ms: float = 0.0
    """When this much of the caller's n-th utterance was heard."""
    speech_end: int | None = None
    """When the n-th utterance was taken for ended, before any answer."""
    tool_call: int | None = None
    """After the n-th ``toolCall`` message."""
    interruption: int | None = None
    """After the n-th ``interrupted``."""
    turn: int | None = None
    """After the n-th ``turnComplete`` and its handle."""
    delay_s: float = 0.0

    def waits_for(self, kind: Kind, number: int) -> bool:
        """Tell whether this is the trigger."""
        return bool(getattr(self, kind) == number)


TRIGGERS: tuple[Kind, ...] = (
    "after_s",
    "answer",
    "speech",
    "speech_end",
    "tool_call",
    "interruption",
    "turn",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Close(Timed):
    """Close the connection; code 1006 resets the TCP connection without a close frame."""

    code: int = 1011
    reason: str = "Internal error encountered."


@dataclass(frozen=True, slots=True, kw_only=True)
class GoAway(Timed):
    """Send ``goAway``; with ``time_left_s`` None it does not say when, which is after 50 s."""

    time_left_s: float | None = 50.0
    closes: bool = True
    """Close when the time is up."""
    silent: bool = False
    """Send nothing more after it (tau2-bench#461)."""
    code: int = 1011
    reason: str = DEADLINE_EXPIRED


@dataclass(frozen=True, slots=True, kw_only=True)
class HalfOpen(Timed):
    """From then on read nothing and send nothing, no close frame either; TCP stays open."""


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


# -- handles and what they restore -----------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class NoHandles(Fault):
    """Never issue a handle (discuss.ai.google.dev/t/109978)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoisonedHandle(Fault):
    """A connection that resumed hears and transcribes, and never answers (voiceclaw)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Amnesia(Fault):
    """A resume is accepted and restores nothing: few tokens, the first answer greets again."""


# -- the model -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class NeverAnswer(Fault):
    """Hear everything and send nothing, from this answer on; from 1: nothing after the setup."""

    answer: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PhantomInterrupt(Timed):
    """Send ``interrupted`` and stop generating although nobody spoke (python-genai#2333)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoTurnCompleteAfterInterrupt(Fault):
    """Never send ``turnComplete`` after ``interrupted`` (bolna)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InterruptedAfterTurnComplete(Fault):
    """Send ``turnComplete`` before ``interrupted`` at a barge-in (livekit)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResidualAudio(Timed):
    """Send one more audio frame of an answer that is over (livekit#6421, case B)."""

    ms: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SilentAnswer(Fault):
    """Give this answer with transcript and all, but without a frame of audio (3.1 recording)."""

    answer: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NearZeroAudio(Fault):
    """Give this answer at full length, but with nothing to be heard in it."""

    answer: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MuteAfterBargeIn(Fault):
    """After an interruption only transcribe, until a text comes or for ever (cookbook#1228)."""

    until_text: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowAnswers(Fault):
    """Give every answer later than the one before, until a fresh session (forum 115508)."""

    from_answer: int = 1
    """Counts the answers of the session, on all its connections."""
    add_s: float = 0.3


_KINDS: Mapping[str, type[Fault]] = {
    "refuse_upgrade": RefuseUpgrade,
    "hang_before_setup": HangBeforeSetup,
    "delay_setup": DelaySetup,
    "refuse_setup": RefuseSetup,
    "lingering_socket": LingeringSocket,
    "late_pongs": LatePongs,
    "close": Close,
    "go_away": GoAway,
    "half_open": HalfOpen,
    "garbage": Garbage,
    "oversized_frame": OversizedFrame,
    "no_handles": NoHandles,
    "poisoned_handle": PoisonedHandle,
    "amnesia": Amnesia,
    "never_answer": NeverAnswer,
    "phantom_interrupt": PhantomInterrupt,
    "no_turn_complete_after_interrupt": NoTurnCompleteAfterInterrupt,
    "interrupted_after_turn_complete": InterruptedAfterTurnComplete,
    "residual_audio": ResidualAudio,
    "silent_answer": SilentAnswer,
    "near_zero_audio": NearZeroAudio,
    "mute_after_barge_in": MuteAfterBargeIn,
    "slow_answers": SlowAnswers,
}
# RFC 6455, section 7.4, as websockets sends them; and 1006, which stands for none at all.
_CLOSE_CODES = frozenset({*range(1000, 1004), *range(1006, 1015), *range(3000, 5000)})
# Fields that count from 1.
_COUNTS = frozenset(TRIGGERS[1:]) | {"from_answer", "sessions"}


def fault_from(recipe: Mapping[str, Any]) -> Fault:
    """Build a fault from plain data: ``{"fault": "close", "code": 1011, "answer": 2}``.

    Raises:
        ValueError: No such fault or field, a value that does not fit, or not exactly one trigger;
            the message names the fault and the field.
    """
    if "fault" not in recipe:
        raise ValueError(f"fault: missing; known: {', '.join(_KINDS)}")
    name = one_of(recipe["fault"], _KINDS, "fault")
    where = f"fault {name}"
    values = {key: value for key, value in recipe.items() if key != "fault"}
    fault = build(_KINDS[name], values, where)
    for field in fields(fault):
        _check(field.name, getattr(fault, field.name), where)
    if isinstance(fault, Timed):
        _check_trigger(fault, where)
    return fault


def _check(name: str, value: Any, where: str) -> None:
    if name in _COUNTS and value is not None:
        numbers = value if isinstance(value, frozenset) else [value]
        if not numbers or min(numbers) < 1:
            raise ValueError(f"{where}: {name} counts from 1, not {_shown(value)}")
    elif name == "code" and value not in _CLOSE_CODES:
        codes = "1000 to 1003, 1006 to 1014, 3000 to 4999"
        raise ValueError(f"{where}: code must be a close code ({codes}), not {value}")
    elif name == "status" and not 300 <= value <= 599:
        raise ValueError(f"{where}: status must be an HTTP status from 300 to 599, not {value}")
    elif isinstance(value, float) and not 0 <= value < float("inf"):
        raise ValueError(f"{where}: {name} must be 0 or more, not {value:g}")


def _shown(value: Any) -> str:
    return str(sorted(value)) if isinstance(value, frozenset) else str(value)


def _check_trigger(fault: Timed, where: str) -> None:
    named = [name for name in TRIGGERS if getattr(fault, name) is not None]
    if len(named) != 1:
        found = " and ".join([", ".join(named[:-1]), named[-1]]) if named else "none"
        triggers = ", ".join(TRIGGERS)
        raise ValueError(f"{where}: needs exactly one trigger ({triggers}), not {found}")
    for name, trigger in (("audio_ms", "answer"), ("speech_ms", "speech")):
        if getattr(fault, name) and named != [trigger]:
            raise ValueError(f"{where}: {name} goes with {trigger}, not with {named[0]}")

"""How a number behaves when it is dialled."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal

from workers.twin.caller import CallerScript, HangUp, Record, Say, Step, Tone
from workers.twin.twilio_api import states

Sleep = Callable[[float], Awaitable[None]]
"""Lets so many seconds of the twin's time pass."""

MACHINE = "machine"
"""A verdict that Twilio words by what was asked for: see ``machine_verdict``."""


@dataclass(frozen=True, slots=True)
class Voicemail:
    """A machine that answers: its greeting, a beep, then it records and hangs up.

    All of it is sound, and takes as long as it takes, however fast the twin's time passes.
    """

    greeting: tuple[Step, ...] = (
        Say("Hello, nobody can take your call. Please leave a message after the tone."),
    )
    ending: Literal["beep", "silence", "other"] = "beep"
    """How the greeting ends, and what detection makes of it; only ``beep`` has one."""
    beep_hz: int = 1000
    beep_ms: int = 500
    record_s: float = 30.0

    def script(self) -> CallerScript:
        """Write what it does."""
        beep = (Tone(self.beep_hz, self.beep_ms),) if self.ending == "beep" else ()
        return CallerScript.of(*self.greeting, *beep, Record(self.record_s), HangUp())


@dataclass(frozen=True, slots=True)
class CalleeBehaviour:
    """Rings for ``after_s``, then this happens; a shorter ring time-out is ``no-answer``.

    ``answered_by`` is the verdict of answering machine detection where that was asked for, given
    ``verdict_after_s`` after the answer, even if the call is over by then. ``MACHINE`` is worded
    by what was asked for; that of a ``voicemail`` comes when its greeting is over, where that was
    asked for, and is ``unknown`` if the call is over before.
    """

    outcome: Literal["answer", "busy", "no-answer", "failed"] = "answer"
    after_s: float = 0.2
    script: CallerScript = field(default_factory=CallerScript)
    answered_by: str = "human"
    verdict_after_s: float = 0.5
    refusal: int = 0
    """The code with which the order of a call is refused: 21211, 21214."""
    sip_code: int | None = None
    """``SipResponseCode`` of a call that is not answered; None: what Twilio mostly tells."""
    error_code: int = 0
    """What Twilio's debugger has to say of a call that is not answered: 32017."""
    voicemail: Voicemail | None = None

    @classmethod
    def machine(
        cls,
        voicemail: Voicemail | None = None,
        *,
        after_s: float = 0.2,
        answered_by: str = MACHINE,
        verdict_after_s: float = 0.5,
    ) -> CalleeBehaviour:
        """Let a voicemail answer; with another ``answered_by`` it is taken for something else."""
        voicemail = voicemail or Voicemail()
        return cls(
            after_s=after_s,
            script=voicemail.script(),
            answered_by=answered_by,
            verdict_after_s=verdict_after_s,
            voicemail=voicemail,
        )


def blocked(*, after_s: float = 0.2) -> CalleeBehaviour:
    """Let a carrier block the call for its calling number.

    Source: twilio.com/docs/api/errors/32017; RFC 8688 (608).
    """
    return CalleeBehaviour("failed", after_s=after_s, sip_code=608, error_code=32017)


def machine_verdict(voicemail: Voicemail | None, *, message_end: bool) -> str:
    """Word the verdict on a machine, by the mode of detection (Twilio reference, 5.2)."""
    if not message_end:
        return "machine_start"
    return f"machine_end_{voicemail.ending if voicemail else 'other'}"


async def ring(
    behaviour: CalleeBehaviour, *, timeout_s: float, enter: Callable[[str], None], sleep: Sleep
) -> str:
    """Dial; return ``in-progress`` (which is not yet entered) or how it failed."""
    enter(states.INITIATED)
    if behaviour.outcome in ("busy", "failed"):
        # Signalled instead of ringing (twilio.com/docs/voice/api/call-resource).
        await sleep(min(behaviour.after_s, timeout_s))
        return states.BUSY if behaviour.outcome == "busy" else states.FAILED
    enter(states.RINGING)
    await sleep(min(behaviour.after_s, timeout_s))
    if behaviour.outcome == "answer" and behaviour.after_s <= timeout_s:
        return states.IN_PROGRESS
    return states.NO_ANSWER

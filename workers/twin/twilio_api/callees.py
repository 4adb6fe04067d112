"""Who answers at which number, by chance that a seed fixes.

What a number is (no number at all, a fax) it stays. How a person or a voicemail takes a call
follows from the number and how often it was dialled before, whatever order the calls come in.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from dataclasses import dataclass
from random import Random
from typing import Literal

from workers.twin.caller import CallerScript, HangUp, Say, Tone, WaitSeconds
from workers.twin.twilio_api.callee import CalleeBehaviour, Voicemail, blocked

CalleeKind = Literal[
    "human",
    "voicemail",
    "unknown",
    "no_answer",
    "busy",
    "unavailable",
    "declined",
    "blocked",
    "fax",
    "not_found",
    "invalid",
    "unreachable",
]

_OF_THE_NUMBER: tuple[CalleeKind, ...] = ("fax", "not_found", "invalid", "unreachable")

# Longer than any ring time-out Twilio takes.
_FOR_EVER_S = 3600.0


@dataclass(frozen=True, slots=True)
class CalleeMix:
    """How often each kind is met, in relation to the others.

    Raises:
        ValueError: none is ever met, or one less than never.
    """

    human: float = 40
    """Says hello, listens shortly and hangs up."""
    voicemail: float = 25
    unknown: float = 2
    """A person whom detection cannot tell from a machine."""
    no_answer: float = 15
    busy: float = 6
    unavailable: float = 2
    """``failed`` with SIP 503."""
    declined: float = 1
    """``failed`` with SIP 603."""
    blocked: float = 1
    """``failed`` with SIP 608 and error 32017."""
    fax: float = 1
    not_found: float = 3
    """``failed`` with SIP 404."""
    invalid: float = 2
    """The order is refused with 21211."""
    unreachable: float = 2
    """The order is refused with 21214."""

    def __post_init__(self) -> None:
        weights = dataclasses.astuple(self)
        if min(weights) < 0 or not sum(weights):
            raise ValueError("a mix has weights of 0 or more, and one above 0")

    def pick(self, left: float, kinds: tuple[CalleeKind, ...]) -> CalleeKind | None:
        """Pick one of ``kinds`` by what is ``left`` of the weights; None: left is beyond them."""
        for kind in kinds:
            left -= getattr(self, kind)
            if left < 0:
                return kind
        return None


_OF_THE_CALL: tuple[CalleeKind, ...] = (
    "human",
    "voicemail",
    "unknown",
    "no_answer",
    "busy",
    "unavailable",
    "declined",
    "blocked",
)


class RandomCallees:
    """Use as a twin's ``on_dial``.

    Args:
        seed: fixes everything.
        mix: how often each kind is met.
        ring_s: the shortest and the longest ring before an answer.
        talk_s: the shortest and the longest a person listens after saying hello.
        verdict_s: the same for detection's verdict after the answer.
        person: what a person does, in place of a hello and some listening.
        voicemail: what every voicemail is, in place of one of all three endings.
    """

    def __init__(
        self,
        seed: int,
        mix: CalleeMix | None = None,
        *,
        ring_s: tuple[float, float] = (2.0, 20.0),
        talk_s: tuple[float, float] = (2.0, 8.0),
        verdict_s: tuple[float, float] = (1.0, 4.0),
        person: CallerScript | None = None,
        voicemail: Voicemail | None = None,
    ) -> None:
        self._seed = seed
        self._mix = mix or CalleeMix()
        self._ring_s = ring_s
        self._talk_s = talk_s
        self._verdict_s = verdict_s
        self._person = person
        self._voicemail = voicemail
        self.dialled: Counter[str] = Counter()
        """How often each number was asked for; refused orders count."""

    def __call__(self, to: str) -> CalleeBehaviour:
        """Say what happens at this number now."""
        self.dialled[to] += 1
        return self.of(to, self.dialled[to])

    def kind(self, to: str, nth: int) -> CalleeKind:
        """Say what is met when a number is dialled for the ``nth`` time, from 1."""
        total = sum(dataclasses.astuple(self._mix))
        # The number's own dice: what it is, it is at every call.
        found = self._mix.pick(self._dice(to).random() * total, _OF_THE_NUMBER)
        if found is None:
            rest = sum(getattr(self._mix, kind) for kind in _OF_THE_CALL)
            found = self._mix.pick(self._dice(to, nth).random() * rest, _OF_THE_CALL)
        # None only by rounding, at the very end of the weights.
        return found or "no_answer"

    def of(self, to: str, nth: int) -> CalleeBehaviour:
        """Say what happens when a number is dialled for the ``nth`` time, from 1."""
        dice = self._dice(to, nth, "how")
        rings_s = dice.uniform(*self._ring_s)
        verdict_s = dice.uniform(*self._verdict_s)
        kind = self.kind(to, nth)
        match kind:
            case "invalid" | "unreachable":
                return CalleeBehaviour(refusal=21211 if kind == "invalid" else 21214)
            case "not_found":
                return CalleeBehaviour("failed", after_s=rings_s, sip_code=404)
            case "unavailable":
                return CalleeBehaviour("failed", after_s=rings_s, sip_code=503)
            case "declined":
                return CalleeBehaviour("failed", after_s=rings_s, sip_code=603)
            case "blocked":
                return blocked(after_s=rings_s)
            case "busy":
                return CalleeBehaviour("busy", after_s=rings_s)
            case "no_answer":
                return CalleeBehaviour("no-answer", after_s=_FOR_EVER_S)
            case "voicemail":
                (ending,) = dice.choices(("beep", "silence", "other"), (8, 1, 1))
                return CalleeBehaviour.machine(
                    self._voicemail or Voicemail(ending=ending),  # type: ignore[arg-type]  # above
                    after_s=rings_s,
                    verdict_after_s=verdict_s,
                )
            case "fax":
                # The tone of an answering fax is 2100 Hz for 2.6 to 4 s (ITU-T T.30, 4.1.1).
                script, answered_by = CallerScript.of(Tone(2100, 2600), HangUp()), "fax"
            case _:
                talks_s = WaitSeconds(dice.uniform(*self._talk_s))
                hello = CallerScript.of(Say("callee_hello"), talks_s, HangUp())
                script, answered_by = self._person or hello, kind
        return CalleeBehaviour(
            after_s=rings_s, script=script, answered_by=answered_by, verdict_after_s=verdict_s
        )

    def _dice(self, *of: object) -> Random:
        # Of their own for each matter, so that the order of events changes nothing.
        return Random(" ".join(map(str, (self._seed, *of))))  # noqa: S311 - not for secrets

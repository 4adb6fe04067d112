"""The opening of a call: system instruction, first words, and what makes the model speak first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agent.audio import PcmChunk
from agent.conversation.record import TurnRecord
from agent.spec import PLACEHOLDER, AgentSpec
from agent.text import UNSENDABLE

# Newest turns first to stay: about 6,000 tokens of the 128k window, and still read at every turn.
MAX_HISTORY_CHARS = 24_000

_NO_GREETING = "Do not greet again and do not introduce yourself again."
_CONTINUE = (
    "The line was cut for a moment and is back. Say so in one short sentence, then go on with the "
    f"conversation where it stopped. {_NO_GREETING}"
)


@dataclass(frozen=True, slots=True)
class Opening:
    """What a session is opened with."""

    system_instruction: str
    greeting: str | None = None
    """The first words of a fresh call; None where the agent waits, or the call goes on."""
    greeting_audio: PcmChunk | None = None
    """The greeting as kept from an earlier call: play it, do not ask for it."""
    nudge: str | None = None
    """Text that makes the model speak first in a call that goes on."""


def greeting_text(spec: AgentSpec, variables: Mapping[str, str]) -> str | None:
    """Return the first words of a fresh call; None where the agent waits for the caller."""
    return fill(spec.greeting.text or "", variables).strip() or None


def ask_for_greeting(greeting: str) -> str:
    """Word the request that makes a model say its greeting; it cannot be put in its mouth."""
    return (
        "The call has just been answered. Say exactly the following to the caller, in your own "
        f"voice, nothing before it and nothing after it, then wait for an answer: {greeting}"
    )


def open_call(
    spec: AgentSpec,
    *,
    variables: Mapping[str, str],
    history: Sequence[TurnRecord] = (),
    notice: str | None = None,
    greeting_audio: PcmChunk | None = None,
) -> Opening:
    """Compose the opening of a fresh call, or of one that goes on with a fresh session.

    Args:
        spec: The agent.
        variables: Values for ``{{ name }}`` in instruction and greeting; a missing one is left out.
        history: What was said before on this call; makes it a call that goes on.
        notice: What happened meanwhile ("nobody answered"); makes it a call that goes on.
        greeting_audio: The greeting, if kept from an earlier call.
    """
    parts = [fill(spec.system_instruction, variables)]
    if spec.language:
        # Models flip languages on degraded audio unless the instruction holds them.
        parts.append(f"Speak {spec.language}, unless the caller asks for another language.")
    if history or notice:
        if told := _told(history):
            parts.append(
                "This phone call was interrupted and goes on now. What was said so far, as far as "
                f"it was heard:\n{told}\n{_NO_GREETING}"
            )
        nudge = _CONTINUE
        if notice:
            nudge = (
                f"Note from the phone system, not from the caller: {_one_line(notice)} Tell the "
                f"caller in one short sentence, then go on. {_NO_GREETING}"
            )
        return Opening("\n\n".join(parts), nudge=nudge)
    greeting = greeting_text(spec, variables)
    if greeting is None:
        return Opening("\n\n".join(parts))
    if greeting_audio is not None:
        parts.append(
            "You have already greeted the caller; these words are being played at this moment: "
            f"“{greeting}” {_NO_GREETING} Wait for the caller's answer."
        )
    return Opening("\n\n".join(parts), greeting=greeting, greeting_audio=greeting_audio)


def fill(text: str, variables: Mapping[str, str]) -> str:
    """Put values in place of ``{{ name }}``."""
    return PLACEHOLDER.sub(lambda match: _one_line(variables.get(match[1], "")), text)


def _told(history: Sequence[TurnRecord]) -> str:
    lines: list[str] = []
    size = 0
    for turn in reversed(history):
        text = _one_line(turn.heard)
        if not text:
            continue
        if turn.interrupted:
            text += " — (interrupted by the caller here)"
        line = f"{'Caller' if turn.speaker == 'caller' else 'You'}: {text}"
        size += len(line) + 1
        if size > MAX_HISTORY_CHARS:
            lines.append("(what was said before is left out)")
            break
        lines.append(line)
    return "\n".join(reversed(lines))


def _one_line(text: str) -> str:
    # Control characters end a session; a line break would let a caller's words pose as a new line.
    return " ".join(UNSENDABLE.sub(" ", text).split())

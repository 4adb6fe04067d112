"""What operators and functions have the model know: notes, and a changed instruction."""

from __future__ import annotations

from collections.abc import Sequence

from agent.conversation.prompt import one_line
from agent.text import sendable

MAX_NOTES = 20
"""The oldest goes: what is told stands in the instruction, and is read again at every turn."""
MAX_NOTE_CHARS = 2_000
"""About 500 tokens."""
MAX_INSTRUCTION_CHARS = 32_000


class Notes:
    """Notes for the model of one call, over all its streams."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.instruction: str | None = None
        """In place of the agent's own; None: unchanged."""
        self.version = 0
        """Counts changes."""

    @classmethod
    def restored(cls, texts: Sequence[str], instruction: str | None) -> Notes:
        """The notes of a call that goes on at another worker."""
        notes = cls()
        notes.texts, notes.instruction = list(texts), instruction
        notes.version = int(bool(texts or instruction))
        return notes

    def add(self, text: str) -> None:
        """Have every instruction from now on hold a note.

        Raises:
            ValueError: the text is empty or too long.
        """
        note = one_line(text)
        _check(note, MAX_NOTE_CHARS)
        self.texts = [*self.texts, note][-MAX_NOTES:]
        self.version += 1

    def replace_instruction(self, text: str) -> None:
        """Put an instruction in place of the agent's own, for the rest of the call.

        Raises:
            ValueError: the text is empty or too long.
        """
        instruction = sendable(text).strip()
        _check(instruction, MAX_INSTRUCTION_CHARS)
        self.instruction = instruction
        self.version += 1


def _check(text: str, max_chars: int) -> None:
    if not text:
        raise ValueError("the text is empty")
    if len(text) > max_chars:
        raise ValueError(f"the text has {len(text):,} characters; {max_chars:,} are taken")

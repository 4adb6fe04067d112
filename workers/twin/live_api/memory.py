"""What the model of one session holds, and the snapshots of it that handles stand for.

Every line has its size, so that what is cut takes its tokens with it. A snapshot is taken at a turn
boundary. What was under way then is not in it: an answer being generated, calls without their
results, a turn of the caller that the model had not begun to answer. The system instruction is not
in it either, because every setup brings its own.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from workers.twin.live_api.messages import FunctionAnswer
from workers.twin.live_api.usage import Meter, Tokens, text_tokens


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that was said or written; without words it is audio alone."""

    role: str
    """``user``, ``model``, ``system`` (content of that role, Vertex only), ``tool`` (a result)."""
    text: str
    tokens: Tokens = field(default_factory=Tokens)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A session at a turn boundary."""

    lines: tuple[Line, ...] = ()
    position: int = 0
    """How many turns of the script were played."""
    greeted: bool = False
    answers: int = 0
    """How many answers were given, on all connections of the session."""
    late_s: float = 0.0
    """How much later than at first the session answers by now."""

    @property
    def tokens(self) -> Tokens:
        """The size of all lines."""
        return sum((line.tokens for line in self.lines), Tokens())


BLANK = Snapshot()
"""A session that has just begun."""


class Memory:
    """The conversation of one session so far: restored, then continued, then cut."""

    def __init__(
        self,
        lines: list[Line],
        meter: Meter,
        snapshot: Snapshot = BLANK,
        *,
        instruction: str = "",
    ) -> None:
        """Continue from ``snapshot``, on a list that others may read, with a meter of its own."""
        self.lines = lines
        self.lines.extend(snapshot.lines)
        self.meter = meter
        self.meter.remembered(snapshot.tokens)
        self.position = snapshot.position
        self.greeted = snapshot.greeted
        self.answers = snapshot.answers
        self.late_s = snapshot.late_s
        self._cut_lines = 0
        self._instruction = ""
        self._told_at = 0
        self.instruct(instruction)

    @property
    def held(self) -> list[str]:
        """All texts that the model holds, in the order in which it was told them.

        The instruction stands where it came: a resume brings one that is newer than what its handle
        restores.
        """
        texts = [line.text for line in self.lines]
        texts.insert(self._told_at, self._instruction)
        return [text for text in texts if text]

    def instruct(self, text: str) -> None:
        """Take ``text`` for the system instruction, in place of the one before."""
        self._instruction = text
        self._told_at = len(self.lines)
        self.meter.instruction(text)

    def written(self, role: str, text: str) -> int | None:
        """Remember text, unless it is blank; return the number of its line."""
        if not text.strip():
            return None
        tokens = Tokens(text=text_tokens(text))
        self.meter.remembered(tokens)
        return self._add(Line(role, text.strip(), tokens))

    def heard(self, text: str, tokens: float = 0.0) -> None:
        """Remember what the caller said, and its audio of so many tokens."""
        self.meter.caller_line(tokens)
        self._add(Line("user", text.strip(), Tokens(audio=tokens)))

    def said(self, text: str) -> None:
        """Remember what the model said, and the audio produced so far."""
        self._add(Line("model", text.strip(), Tokens(audio=self.meter.model_line())))

    def tool_result(self, answer: FunctionAnswer) -> None:
        """Remember what a function gave back."""
        self.written("tool", f"{answer.name} {json.dumps(answer.response, ensure_ascii=False)}")

    def cut(self, target_tokens: int, *, answering: int | None = None) -> list[Line]:
        """Forget whole exchanges, the oldest first, until the context is at most the target.

        What is left begins with a turn of the user, as the real server's context does
        (google-genai, ``SlidingWindow``). The turn being answered stays.

        Args:
            target_tokens: For everything, the instruction included; it may be out of reach.
            answering: The number of the line that is being answered; None for the last one of the
                user.

        Returns:
            What was forgotten, in order.
        """
        starts = [at for at, line in enumerate(self.lines) if line.role == "user"]
        last = starts[-1] if starts else 0
        if answering is not None:
            last = min(last, answering - self._cut_lines)
        size = self.meter.size
        end = 0
        for start in starts:
            if round(size) <= target_tokens or start > last:
                break
            size -= sum(line.tokens.total for line in self.lines[end:start])
            end = start
        cut = self.lines[:end]
        del self.lines[:end]
        self._cut_lines += end
        self._told_at = max(0, self._told_at - end)
        self.meter.forgotten(sum((line.tokens for line in cut), Tokens()))
        return cut

    def snapshot(self) -> Snapshot:
        """Return the session as it is now."""
        return Snapshot(
            lines=tuple(self.lines),
            position=self.position,
            greeted=self.greeted,
            answers=self.answers,
            late_s=self.late_s,
        )

    def _add(self, line: Line) -> int | None:
        if not line.text and not line.tokens.total:
            return None
        self.lines.append(line)
        return self._cut_lines + len(self.lines) - 1

"""A call told on the terminal while it happens, one aligned line after the other."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from agent.conversation.record import (
    CutRecord,
    EndReason,
    FactRecord,
    MoveRecord,
    Speaker,
    SummaryMade,
    UpdateRecord,
)
from workers.dashboard.memory import cut_words, fact_words, made_tone, made_words, update_words
from workers.dashboard.moves import move_words, tone_of
from workers.dashboard.story import (
    SLOW_ANSWER_S,
    StreamChange,
    Tone,
    at,
    end_of,
    long,
    one_line,
    plain,
)
from workers.dashboard.streams import change_words, left_of

_SPEAKERS: dict[str, str] = {"caller": "bold bright_blue", "agent": "bold yellow"}
_TONES: dict[Tone, str] = {"good": "bold green", "odd": "bold yellow", "bad": "bold red"}
# Beyond this the eye loses the line.
MOST_LETTERS = 110
_TIME_LETTERS, _WHO_LETTERS, _DELAY_LETTERS = 8, 10, 8


class CallConsole:
    """Prints what happens in one call.

    Times count from ``answered``; a time handed in wins over the clock. Texts are printed as they
    are: neither rich's markup nor a terminal's control characters in them have an effect.

    Args:
        console: Where to print.
        clock: Monotonic seconds.
    """

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._answered_at: float | None = None

    def ring(self, text: str = "ringing") -> None:
        """Tell that the telephone rings; ``text`` may say whose."""
        self._line("", "ring", "magenta", Text(one_line(text)))

    def answered(self, text: str = "answered") -> None:
        """Tell that the call was answered: time begins."""
        self._answered_at = self._clock()
        self._line(at(0), "call", "green", Text(one_line(text)))

    def unanswered(self, text: str) -> None:
        """Tell that the call ended without a conversation, and how."""
        self._line("", "end", "bold yellow", Text(one_line(text), "bold yellow"))

    def turn(
        self,
        speaker: Speaker,
        text: str,
        delay_s: float | None = None,
        *,
        not_heard: str = "",
        at_s: float | None = None,
    ) -> None:
        """Tell what a side said, how long its answer took, and which words were not heard."""
        words = Text(one_line(text))
        if not_heard:
            # In words too: a file or a plain terminal strikes nothing out.
            words.append(" [not heard: " if text else "[not heard: ", style="dim")
            words.append(one_line(not_heard), style="strike dim").append("]", style="dim")
        slow = delay_s is not None and delay_s > SLOW_ANSWER_S
        delay = Text("" if delay_s is None else long(delay_s), "bold yellow" if slow else "dim")
        self._line(self._time(at_s), speaker, _SPEAKERS[speaker], words, delay)

    def barge_in(self, cut_ms: float, *, at_s: float | None = None) -> None:
        """Tell that the caller interrupted the agent."""
        cut = f"the caller interrupted; {long(cut_ms / 1000)} of speech were not played"
        self._line(self._time(at_s), "barge-in", "red", Text(cut, "dim"))

    def digit(self, digit: str, *, sent: bool = False, at_s: float | None = None) -> None:
        """Tell that the caller pressed a key, or that the agent ``sent`` a tone."""
        words = Text("the agent sent " if sent else "the caller pressed ", "dim")
        words.append(f" {one_line(digit)} ", style="reverse")
        self._line(self._time(at_s), "key", "magenta", words)

    def tool(
        self,
        name: str,
        args: dict[str, Any],
        result: dict[str, Any] | None,
        ms: float,
        *,
        note: str = "",
        at_s: float | None = None,
    ) -> None:
        """Tell what a tool was asked, what it answered and how long it took.

        ``note`` stands in for an answer that is not known, and for how long it took.
        """
        words = Text(one_line(f"{name}({plain(args)})"))
        if result:
            words.append(" → ", style="dim").append(one_line(plain(result)))
        if note:
            words.append(" → ", style="dim").append(one_line(note), style=_TONES["odd"])
        failed = result is None or "error" in result
        self._line(
            self._time(at_s),
            "tool",
            _TONES["odd"] if note else "red" if failed else "green",
            words,
            None if note else Text(long(ms / 1000), "dim"),
        )

    def transfer(self, to: str, *, at_s: float | None = None) -> None:
        """Tell that the caller is being put through; ``to`` is the number's name in the spec."""
        self._line(
            self._time(at_s), "transfer", "green", Text(one_line(f"putting through to {to}"))
        )

    def move(self, move: MoveRecord, *, at_s: float | None = None) -> None:
        """Tell that the session went to another Live connection, and what the caller noticed."""
        tone = tone_of(move)
        line = Text(move_words(move), "dim" if tone == "good" else _TONES[tone])
        # What went well needs no explanation.
        if move.detail and tone != "good":
            line.append(f"  {one_line(move.detail)}", style="default not bold")
        self._line(self._time(at_s), "move", _TONES[tone], line)

    def stream(self, change: StreamChange, *, at_s: float | None = None) -> None:
        """Tell that the call goes on over another stream, and at which worker."""
        tone = left_of(change.before)[0]
        line = Text(one_line(change_words(change)), "dim" if tone == "good" else _TONES[tone])
        if change.before.detail and tone != "good":
            line.append(f"  {one_line(change.before.detail)}", style="default not bold")
        self._line(self._time(at_s), "stream", _TONES[tone], line)

    def cut(self, cut: CutRecord, *, at_s: float | None = None) -> None:
        """Tell that the server cut the oldest turns off the model's context."""
        self._line(self._time(at_s), "cut", "cyan", Text(cut_words(cut), "dim"))

    def summary(self, made: SummaryMade, *, at_s: float | None = None) -> None:
        """Tell that the running summary was brought up to date, or why not."""
        tone = made_tone(made)
        line = Text(made_words(made), "dim" if tone == "good" else _TONES[tone])
        if made.detail and tone != "good":
            line.append(f"  {one_line(made.detail)}", style="default not bold")
        self._line(self._time(at_s), "summary", "cyan" if tone == "good" else _TONES[tone], line)

    def told(self, update: UpdateRecord, *, at_s: float | None = None) -> None:
        """Tell that the model was told something in the middle of the call."""
        self._line(self._time(at_s), "update", "cyan", Text(update_words(update), "dim"))

    def fact(self, fact: FactRecord, *, at_s: float | None = None) -> None:
        """Tell what the agent was told to remember."""
        self._line(self._time(at_s), "fact", "cyan", Text(one_line(fact_words(fact))))

    def ended(
        self, reason: EndReason | None, detail: str = "", *, at_s: float | None = None
    ) -> None:
        """Tell that the call is over, and why."""
        tone, words = end_of(reason)
        line = Text(words, _TONES[tone])
        if detail:
            line.append(f"  {one_line(detail)}", style="default not bold")
        self._line(self._time(at_s), "end", _TONES[tone], line)

    def saved(self, what: str, path: Path) -> None:
        """Tell where a file of the call was left."""
        # Paths are folded, never shortened, so that they can be copied.
        self._line("", what, "cyan", Text(one_line(str(path))))

    def _time(self, at_s: float | None) -> str:
        if at_s is None and self._answered_at is not None:
            at_s = self._clock() - self._answered_at
        return "" if at_s is None else at(at_s)

    def _line(
        self, when: str, who: str, style: str, words: Text, delay: Text | None = None
    ) -> None:
        line = Table.grid(padding=(0, 1), expand=True)
        line.add_column(justify="right", width=_TIME_LETTERS, style="dim", no_wrap=True)
        line.add_column(width=_WHO_LETTERS, no_wrap=True)
        line.add_column(ratio=1, overflow="fold")
        line.add_column(justify="right", width=_DELAY_LETTERS, no_wrap=True)
        line.add_row(when, Text(who, style), words, delay or "")
        self._console.print(line, highlight=False, width=min(self._console.width, MOST_LETTERS))

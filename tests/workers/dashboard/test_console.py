"""A call told on the terminal."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from agent.conversation.record import CutRecord, EndReason, FactRecord, SummaryMade, UpdateRecord
from tests.fakes.sample_call import sample_moves
from workers.dashboard.console import MOST_LETTERS, CallConsole


class Screen:
    """A terminal of a given width, with a clock that stands until it is moved."""

    def __init__(self, width: int = 78, *, color: bool = False) -> None:
        self._file = io.StringIO()
        self.now_s = 100.0
        console = Console(
            file=self._file,
            width=width,
            force_terminal=color,
            color_system="standard" if color else None,
        )
        self.call = CallConsole(console, clock=lambda: self.now_s)

    @property
    def text(self) -> str:
        return self._file.getvalue()

    @property
    def lines(self) -> list[str]:
        return [line.rstrip() for line in self.text.splitlines()]


def test_a_call_is_told_in_aligned_lines() -> None:
    """Time, who, words and delay stand in columns; long words go on under themselves."""
    screen = Screen()
    call = screen.call
    call.ring("corner-bakery, inbound")
    call.answered()
    screen.now_s += 0.3
    call.turn("agent", "Hello, this is Corner Bakery. How can I help you today?")
    screen.now_s += 4.6
    call.turn("caller", "What time do you open on Saturday?")
    call.turn("agent", "At seven,", 0.75, not_heard="and we close at two.", at_s=8.4)
    call.barge_in(7400, at_s=13.3)
    call.digit("7", at_s=22.1)
    call.tool("order_status", {"order_number": "7"}, {"status": "ready"}, 120, at_s=22.9)
    call.transfer("the shop", at_s=30)
    call.ended(EndReason.AGENT_HUNG_UP, at_s=38.4)
    call.saved("page", Path("evercall-demo/call.html"))
    assert screen.lines == [
        "         ring       corner-bakery, inbound",
        "  0:00.0 call       answered",
        "  0:00.3 agent      Hello, this is Corner Bakery. How can I help you",
        "                    today?",
        "  0:04.9 caller     What time do you open on Saturday?",
        "  0:08.4 agent      At seven, [not heard: and we close at two.]         750 ms",
        "  0:13.3 barge-in   the caller interrupted; 7.4 s of speech were not",
        "                    played",
        "  0:22.1 key        the caller pressed  7",
        '  0:22.9 tool       order_status(order_number "7") → status "ready"     120 ms',
        "  0:30.0 transfer   putting through to the shop",
        "  0:38.4 end        The agent said goodbye and hung up",
        "         page       evercall-demo/call.html",
    ]


def test_a_move_is_one_line_and_explained_where_it_went_wrong() -> None:
    """What nobody noticed needs no detail; a gap or a loss does."""
    screen = Screen()
    for move in sample_moves()[:2]:
        screen.call.move(move, at_s=move.left_s)
    assert screen.lines == [
        "  0:21.2 move       go_away at a safe point, resumed in 310 ms; gap 0",
        "                    ms, 0 ms lost",
        "  0:27.4 move       lost abruptly, refilled in 1.5 s, 3 tries; gap",
        "                    640 ms, 0 ms lost  closed with 1011: Internal",
        "                    error encountered.",
    ]


def test_a_noticed_move_stands_out() -> None:
    """On a terminal with colour, its words are in the colour of its tone."""
    screen = Screen(color=True)
    good, odd, bad = sample_moves()
    for move, style in ((good, "2"), (odd, "1;33"), (bad, "1;31")):
        screen.call.move(move)
        assert f"\x1b[{style}m{move.cause.value} " in screen.text


def test_what_is_done_for_the_memory_is_told_in_a_line() -> None:
    """A cut, a summary, something told and a fact; a failure with what explains it."""
    screen = Screen(110)
    call = screen.call
    call.fact(FactRecord("name", "Ann"), at_s=1)
    call.summary(SummaryMade(2, 1, "ok", 12, "extract", detail="unsaid"), at_s=2)
    call.summary(SummaryMade(3, 20, "timeout", 6, "model", detail="look at it"), at_s=3)
    call.told(UpdateRecord(4, "instruction", "context_update", 4.2), at_s=4)
    call.cut(CutRecord(5, 104_900, 52_000), at_s=5)
    assert screen.lines == [
        "  0:01.0 fact       remembers name: Ann",
        "  0:02.0 summary    summary brought up to date, 12 turns",
        "  0:03.0 summary    summary not brought up to date, 6 turns: no answer in time (20 s)"
        "  look at it",
        "  0:04.0 update     the agent's instruction was changed; it reached the model in 200 ms",
        "  0:05.0 cut        the server cut the oldest turns: from 104,900 to 52,000 tokens",
    ]


def test_columns_stay_together_on_a_wide_terminal() -> None:
    """The delay is not torn away from its words."""
    screen = Screen(300)
    screen.call.turn("agent", "Yes.", 0.8)
    assert len(screen.lines[0]) == MOST_LETTERS


def test_why_a_call_ended_is_told() -> None:
    """The detail stands behind the reason."""
    screen = Screen(110)
    screen.call.ended(EndReason.LIVE_REFUSED, "look at GOOGLE_API_KEY")
    assert "The Live API refused the session  look at GOOGLE_API_KEY" in screen.text


def test_a_call_without_conversation_is_told() -> None:
    """Nobody answered, so there is no time on it."""
    screen = Screen()
    screen.call.unanswered("The line was busy")
    assert screen.lines == ["         end        The line was busy"]


@pytest.mark.parametrize("text", ["[bold]not markup[/bold] [/]", ":smile: [link=x]y[/link]"])
def test_markup_in_a_text_stays_text(text: str) -> None:
    """Rich's markup and emoji codes are printed as they are."""
    screen = Screen(110)
    screen.call.ring(text)
    screen.call.turn("caller", text)
    screen.call.tool(text, {}, {text: 1}, 5)
    assert screen.text.count(text) == 4


def test_no_text_steers_the_terminal() -> None:
    """Escape sequences in what a model or tool says are made visible."""
    screen = Screen()
    for evil in ("\x1b[2J", "\x9b2J", "a\rb\nc\x07"):
        screen.call.ring(evil)
        screen.call.turn("agent", evil, not_heard=evil)
        screen.call.tool(evil, {evil: evil}, {"error": evil}, 5)
        screen.call.move(replace(sample_moves()[1], detail=evil))
        screen.call.fact(FactRecord(evil, evil))
        screen.call.summary(SummaryMade(0, 1, "failed", 1, evil, detail=evil))
        screen.call.ended(None, evil)
        screen.call.saved("page", Path(f"x{evil}"))
    assert not {letter for letter in screen.text if letter < " " or "\x7f" <= letter < "\xa0"} - {
        "\n"
    }


def test_a_path_is_whole_on_a_narrow_terminal() -> None:
    """A long path is folded, not shortened."""
    screen = Screen(40)
    path = Path("evercall-demo/2026-11-21/CA0123456789abcdef.html")
    screen.call.saved("page", path)
    assert "".join(line.strip() for line in screen.lines).removeprefix("page").strip() == str(path)


def test_unheard_words_are_struck_out_in_color() -> None:
    """On a terminal with colour, what was not heard is struck through."""
    screen = Screen(color=True)
    screen.call.turn("agent", "At seven", not_heard="in the morning")
    assert "\x1b[2;9min the morning\x1b[0m" in screen.text

"""A transcript to be read in a terminal or a mail."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.conversation.record import CallRecord, FactRecord, SummaryMade, SummaryRecord, TurnRecord
from tests.fakes.long_call import long_record
from tests.fakes.sample_call import sample_moves, sample_record
from tests.fakes.shared_call import FIRST, SECOND, shared_record
from workers.dashboard.story import at
from workers.dashboard.transcript_text import transcript_text


def test_transcript_reads_from_top_to_bottom() -> None:
    """Head, then every turn and event with its time, what was not heard in brackets."""
    assert transcript_text(sample_record()) == (
        """\
Call CA0123456789abcdef0123456789abcdef with corner-bakery (gemini-3.8-live), inbound
2026-11-21T21:04:09Z, 48 s
The agent said goodbye and hung up.

0:00.3  agent   Hello, this is Corner Bakery. How can I help you today?
0:04.9  caller  Hi there. What time do you open on Saturday?
0:08.4  agent   On Saturday we open at seven in the morning and close at two in the afternoon.
                [heard 5.0 of 12.3 s; not heard: On Sunday we are open from eight until noon.
                During the week we are here from six thirty until six, except on Wednesday, when
                we close early.]
0:12.9  caller  Thanks, that is all I need. Can you check an order for me?
0:13.3  -       the caller interrupted; 7.4 s of speech were not played
0:17.6  agent   Of course. Please type your order number on the keypad.
0:22.1  -       the caller pressed 7
0:22.9  -       tool order_status(order_number "7") -> status "ready", items ["rye bread","rye
                bread"], price "9.20" (120 ms)
0:24.4  agent   Your order number seven is ready. It is two loaves of rye bread, at nine dollars
                and twenty cents.
0:33.0  caller  Great, thank you. Goodbye.
0:35.8  -       tool end_call() -> ok true (10 ms)
0:36.0  agent   Thank you for calling. Goodbye!
"""
    )


def test_a_move_is_told_with_what_explains_it() -> None:
    """One line for what the caller noticed, one for the operator where there is a detail."""
    record = CallRecord("CA0", "a", "m", moves=sample_moves()[:2])
    record.moves[0].detail = ""
    assert transcript_text(record).splitlines()[4:] == [
        "0:21.2  -       move: go_away at a safe point, resumed in 310 ms; gap 0 ms, 0 ms lost",
        "0:27.4  -       move: lost abruptly, refilled in 1.5 s, 3 tries; gap 640 ms, 0 ms lost",
        "                [closed with 1011: Internal error encountered.]",
    ]


def test_a_call_of_two_workers_says_where_it_went_and_why() -> None:
    """The stream comes before the move that it caused; what a dead worker did is not known."""
    lines = transcript_text(shared_record()).splitlines()
    begin = next(number for number, line in enumerate(lines) if "book_table" in line)
    assert " ".join(lines[begin].split() + lines[begin + 1].split()).endswith(
        "(unknown: its worker died; it may have been carried out)"
    )
    assert lines[begin + 2 : begin + 6] == [
        f"0:19.6  -       Its worker died or fell silent; stream 2 at {SECOND}",
        f"                [MZ{'1' * 32} -> MZ{'2' * 32}]",
        "0:19.6  -       move: takeover abruptly, resumed in 700 ms; gap 1.2 s, 0 ms lost",
        "                [one function whose outcome is not known was told to the model]",
    ]
    begin = next(number for number, line in enumerate(lines) if "Handed over" in line)
    assert lines[begin : begin + 3] == [
        f"0:42.5  -       Handed over to another worker; stream 3 at {FIRST} after 1.2",
        "                s",
        "                SIGTERM: at a safe point after 2.1 s",
    ]


def test_a_long_call_is_told_with_what_was_done_for_its_memory() -> None:
    """Facts, summaries, updates and cuts stand among the turns, each on a line of its own."""
    record = long_record()
    cut = record.context.cuts[0]
    sizes = f"from {cut.before_tokens:,} to {cut.after_tokens:,} tokens"
    lines = transcript_text(record).splitlines()
    for line in (
        " 0:21.0  -       remembers name: Ann Taylor",
        " 1:20.1  -       summary brought up to date, 7 turns",
        f" {at(cut.at_s)}  -       the server cut the oldest turns: {sizes}",
        "10:12.0  -       the agent was told something; it reached the model at a move, 7 min 18 s"
        " later",
        "24:33.5  -       summary not brought up to date, 14 turns: the text model failed (1.7 s)",
        "                 [503: the model is overloaded]",
    ):
        assert line in lines
    assert not [line for line in lines if "tool remember" in line]
    assert max(map(len, lines)) <= 96


def test_transcript_ends_with_what_is_remembered() -> None:
    """The summary, part by part, then the facts; a part that says nothing is left out."""
    summary = SummaryRecord(
        caller="Ann Taylor", facts=("order 7", "loaves " * 14), promises=("a call",), turns=1
    )
    turns = [TurnRecord("caller", "Hi.", "Hi.", 0, 1), TurnRecord("agent", "Hi.", "Hi.", 2, 3)]
    record = CallRecord("CA0", "a", "m", turns=turns, summary=summary)
    record.facts = [FactRecord("name", "Ann", 9.0)]
    assert transcript_text(record).partition("\n\n")[2] == (
        """\
0:00.0  caller  Hi.
0:02.0  agent   Hi.
0:09.0  -       remembers name: Ann

Summary, after 1 of 2 turns
  Caller:      Ann Taylor
  Facts:       - order 7
               - loaves loaves loaves loaves loaves loaves loaves loaves loaves loaves loaves
                 loaves loaves loaves
  Promises:    - a call

What the agent was told to remember
  name: Ann
"""
    )


def test_silence_is_said() -> None:
    """A call without a word has a transcript that says so, and its reason."""
    text = transcript_text(CallRecord("CA0", "a", "m", detail="No key was set."))
    assert "The call has no recorded end. No key was set.\n" in text
    assert text.endswith("\nNobody said a word.\n")


@given(st.text())
def test_no_text_steers_a_terminal(said: str) -> None:
    """Whatever is said, the transcript holds only printable text and line feeds."""
    turns = [TurnRecord("agent", said, "", 0, 1), TurnRecord("caller", said, said, 2, 3)]
    record = CallRecord("CA0", "a", "m", turns=turns, facts=[FactRecord(said, said)])
    record.summary = SummaryRecord(said, said, (said,), language=said)
    record.context.summaries = [SummaryMade(1, 1, "failed", 2, said, detail=said)]
    text = transcript_text(record)
    assert not {letter for letter in text if letter < " "} - {"\n"}
    assert "\x9b" not in text
    text.encode()

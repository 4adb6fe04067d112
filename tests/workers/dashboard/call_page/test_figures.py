"""The numbers of a call."""

from __future__ import annotations

import pytest

from agent.conversation.record import CallRecord, ContextRecord, ContextSample
from tests.fakes.long_call import long_record
from tests.fakes.sample_call import sample_moves, sample_record
from tests.fakes.shared_call import shared_record
from workers.dashboard.call_page.figures import Figure, figures, headline
from workers.dashboard.call_page.waveform import Waveform, Waves
from workers.dashboard.story import Tone


def by_label(found: list[Figure]) -> dict[str, Figure]:
    assert len({figure.label for figure in found}) == len(found)
    return {figure.label: figure for figure in found}


def test_delays_are_told_by_median_and_longest() -> None:
    """The median stands first; the longest is odd where callers begin to wonder."""
    found = by_label(figures(sample_record(), None))
    assert found["Answer delay, median"].value == "1.1 s"
    assert found["Answer delay, longest"] == Figure("Answer delay, longest", "2.3 s", "odd")
    first = headline(sample_record())[0]
    assert (first.value, first.tone, first.note_tone) == ("1.1 s", "good", "odd")


def test_counters_appear_where_they_are_not_zero() -> None:
    """A counter of zero is left out, milliseconds are read as a duration."""
    record = CallRecord("CA0", "a", "m", counters={"media_gap_ms": 240, "sends_failed": 0})
    found = by_label(figures(record, None))
    assert found["media gap"].value == "240 ms"
    assert "sends failed" not in found


def test_lost_audio_is_bad() -> None:
    """Caller audio that was lost stands among the first numbers; none lost is said too."""
    record = sample_record()
    assert headline(record)[3].value == "none"
    record.counters["caller_audio_lost_ms"] = 1800
    assert headline(record)[3].value == "1.8 s"
    assert headline(record)[3].tone == "bad"
    assert by_label(figures(record, None))["Caller audio lost"].tone == "bad"


def test_longest_gap_is_a_first_number_where_the_session_moved() -> None:
    """A call that never moved has no gap; one that nobody noticed is good."""
    record = sample_record()
    assert len(headline(record)) == 4
    assert by_label(figures(record, None))["Moves"] == Figure("Moves", "0")
    record.moves = sample_moves()[:1]
    assert headline(record)[4] == Figure("Longest gap", "0 ms", "good", "in one move")
    record.moves = sample_moves()[:2]
    assert headline(record)[4] == Figure("Longest gap", "640 ms", "odd", "in 2 moves")
    assert by_label(figures(record, None))["Moves"] == Figure("Moves", "2", "odd")


def test_loss_and_failure_of_moves_are_told_beside_the_gap() -> None:
    """Also where the counter of lost audio knows of less than the reports."""
    record = sample_record()
    record.moves = sample_moves()
    record.moves[0].kind = None
    gap = headline(record)[4]
    assert (gap.note, gap.note_tone) == ("in 3 moves; 1 failed; 40 ms lost", "bad")
    assert headline(record)[3].value == "40 ms"
    record.counters["caller_audio_lost_ms"] = 1000
    found = by_label(figures(record, None))
    assert found["Caller audio lost"].value == "1.0 s"
    assert found["Moves"].tone == "bad"


def test_context_is_told_where_it_was_counted() -> None:
    """The most is among the first numbers; size, cuts, rates and summaries among all."""
    record = long_record()
    assert headline(record)[-1] == Figure(
        "Most in context", "20,885", "good", "64% of window; 12 cuts"
    )
    found = by_label(figures(record, None))
    assert {label: found[label].value for label in found if "Context" in label} == {
        "Context, most": "20,885",
        "Context, at the end": f"{record.context.tokens:,}",
        "Context lasts": "3 min 34 s",
        "Context cuts": "12",
    }
    assert found["Summaries made"].value == "36"
    assert found["Summaries failed"] == Figure("Summaries failed", "4", "odd")
    assert found["Tokens of summaries"].value == "68,310"
    assert found["Caller, tokens/s"].value == "31.7"
    assert found["Updates"].note == "1 not sent"
    assert "Tokens in context" not in found


def test_context_is_not_told_where_it_was_not_counted() -> None:
    """The last size that was reported, as ever, and nothing else."""
    record = sample_record()
    assert len(headline(record)) == 4
    found = by_label(figures(record, None))
    assert found["Tokens in context"].value == "1,840"
    assert not [label for label in found if label.startswith(("Context", "Summar", "Update"))]


@pytest.mark.parametrize(("most", "tone"), [(80_000, "good"), (120_000, "odd"), (140_000, "bad")])
def test_a_context_that_nears_its_window_stands_out(most: int, tone: Tone) -> None:
    """From nine tenths on it is odd; over the window it is bad."""
    record = sample_record()
    record.context = ContextRecord(131_072, most_tokens=most, samples=[ContextSample(1, 1, True)])
    assert headline(record)[-1].tone == tone
    assert by_label(figures(record, None))["Context, most"].tone == tone


def test_a_failed_tool_is_bad() -> None:
    """A tool that timed out is counted in the headline."""
    record = sample_record()
    record.tools[0].outcome = "timeout"
    assert (headline(record)[2].tone, headline(record)[2].note) == ("bad", "1 failed")


def test_a_tool_of_a_worker_that_died_is_not_counted_as_failed() -> None:
    """It stands out all the same; where another one failed, both are told."""
    record = shared_record()
    assert (headline(record)[2].tone, headline(record)[2].note) == ("odd", "1 not known")
    record.tools[0].outcome = "error"
    assert (headline(record)[2].tone, headline(record)[2].note) == ("bad", "1 failed; 1 not known")


def test_takeovers_are_counted_where_a_call_had_several_streams() -> None:
    """With the longest pause between two of them; a call of one stream has none of these."""
    record = shared_record()
    found = by_label(figures(record, None))
    assert [found[label].value for label in ("Streams", "Workers", "Takeovers")] == ["3", "2", "2"]
    assert found["Takeovers"].tone == "odd"
    assert found["Between streams, longest"].value == "1.2 s"
    record.streams[1].ended_s = None
    assert by_label(figures(record, None))["Between streams, longest"].value == "–"
    assert "Takeovers" not in by_label(figures(sample_record(), None))


def test_an_inaudible_agent_is_bad() -> None:
    """Full-length audio at near-zero loudness is called inaudible."""
    loud, faint = Waveform([], [], [], -20.0), Waveform([], [], [], -71.0)
    found = by_label(figures(sample_record(), Waves(loud, faint, 1.0)))
    assert found["Caller's loudness"].value == "−20 dBFS"
    assert found["Agent's loudness"].value == "inaudible"
    assert found["Agent's loudness"].tone == "bad"


def test_an_empty_call_has_numbers_too() -> None:
    """Nothing said, nothing measured: no figure fails."""
    record = CallRecord("CA0", "a", "m", opted_out=True)
    assert headline(record)[0].value == "–"
    assert by_label(figures(record, None))["Opted out"].value == "yes"

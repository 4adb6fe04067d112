"""Words laid over audio: how near the cut comes, whatever the order text and audio arrive in."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.conversation.heard import DEFAULT_PACE_MS, SpokenText, heard_text, join, pace_of

SENTENCES = (
    "On Saturday we open at seven in the morning and close at two in the afternoon. On Sunday we "
    "are open from eight until noon, and on public holidays we are closed all day."
)
WORDS = SENTENCES.split()
# Each word with when it is spoken: 65 ms a letter, and a pause where a speaker breathes.
TIMES: list[tuple[float, float]] = []
_at_ms = 0.0
for _word in WORDS:
    TIMES.append((_at_ms, _at_ms + 65.0 * len(_word.strip(".,"))))
    _at_ms = TIMES[-1][1] + (400.0 if _word[-1] == "." else 150.0 if _word[-1] == "," else 60.0)
AUDIO_MS = TIMES[-1][1]

Pieces = Sequence[tuple[str, float]]


def word_wise(lead_ms: float) -> Pieces:
    return [
        (f" {word}" if index else word, min(max(0.0, start_ms - lead_ms), AUDIO_MS))
        for index, (word, (start_ms, _)) in enumerate(zip(WORDS, TIMES, strict=True))
    ]


def three_words() -> Pieces:
    return [
        (" " * bool(index) + " ".join(WORDS[index : index + 3]), TIMES[index][0])
        for index in range(0, len(WORDS), 3)
    ]


def sentences() -> Pieces:
    cut = next(index for index, word in enumerate(WORDS) if word.endswith(".")) + 1
    return [(" ".join(WORDS[:cut]), 0.0), (" ".join(WORDS[cut:]), TIMES[cut][0] - 80)]


def at_once(at_ms: float) -> Pieces:
    return [(" ".join(WORDS), at_ms)]


def spoken_of(pieces: Pieces) -> SpokenText:
    spoken = SpokenText()
    for text, at_ms in pieces:
        spoken.append(text, at_ms)
    return spoken


def words_off(pieces: Pieces, heard_ms: float, audio_ms: float, *, complete: bool) -> int:
    heard = heard_text(
        spoken_of(pieces),
        heard_ms=heard_ms,
        audio_ms=audio_ms,
        complete=complete,
        pace_ms=DEFAULT_PACE_MS,
    )
    assert " ".join(WORDS).startswith(heard)
    return len(heard.split()) - sum(end_ms <= heard_ms for _, end_ms in TIMES)


@pytest.mark.parametrize(
    ("pieces", "allowed"),
    [
        pytest.param(word_wise(0), 1, id="words with their audio"),
        pytest.param(word_wise(250), 2, id="words ahead of their audio"),
        pytest.param(word_wise(-400), 3, id="words behind their audio"),
        pytest.param(three_words(), 1, id="three words at a time"),
        pytest.param(sentences(), 2, id="sentence, its audio, sentence, its audio"),
        pytest.param(at_once(0), 3, id="all text, then all audio"),
        pytest.param(at_once(AUDIO_MS), 3, id="all audio, then all text"),
    ],
)
def test_cut_of_a_finished_turn_is_near_the_word(pieces: Pieces, allowed: int) -> None:
    """Text and audio complete: the cut is at most a few words off, in any arrival pattern."""
    for heard_ms in range(50, int(AUDIO_MS), 130):
        assert abs(words_off(pieces, heard_ms, AUDIO_MS, complete=True)) <= allowed, heard_ms


@pytest.mark.parametrize(
    ("pieces", "allowed"),
    [
        pytest.param(word_wise(0), 1, id="words with their audio"),
        pytest.param(word_wise(250), 2, id="words ahead of their audio"),
        pytest.param(word_wise(-400), 3, id="words behind their audio"),
        pytest.param(three_words(), 1, id="three words at a time"),
        pytest.param(at_once(0), 5, id="all text, then all audio"),
    ],
)
def test_cut_of_a_turn_still_being_produced_is_near_the_word(pieces: Pieces, allowed: int) -> None:
    """The model is a second ahead of the caller: words not yet produced do not stretch the rest."""
    for heard_ms in range(50, int(AUDIO_MS) - 1100, 130):
        audio_ms = heard_ms + 1000
        arrived = [piece for piece in pieces if piece[1] <= audio_ms]
        assert abs(words_off(arrived, heard_ms, audio_ms, complete=False)) <= allowed, heard_ms


def test_text_after_the_audio_of_an_interrupted_turn_is_cut_by_pace() -> None:
    """Text that came only after the barge-in is laid over the audio at the usual pace."""
    assert abs(words_off(at_once(4000.0), 2500.0, 4000.0, complete=False)) <= 3


def test_nothing_played_is_nothing_heard() -> None:
    """Text whose audio was not played at all was not heard."""
    assert (
        heard_text(spoken_of(at_once(0)), heard_ms=0.0, audio_ms=900.0, complete=True, pace_ms=60.0)
        == ""
    )


def test_all_played_is_all_heard_though_a_frame_is_missing() -> None:
    """Resamplers and whole frames leave some milliseconds open; the last word was heard."""
    heard = heard_text(
        spoken_of(at_once(0)),
        heard_ms=AUDIO_MS - 40,
        audio_ms=AUDIO_MS,
        complete=True,
        pace_ms=60.0,
    )
    assert heard == " ".join(WORDS)


def test_a_digit_takes_longer_than_a_letter() -> None:
    """Numbers are spoken in full, so the words after one are heard later."""
    pieces = [("Call 5550100 now please", 0.0)]
    heard = heard_text(spoken_of(pieces), heard_ms=1500, audio_ms=3000, complete=True, pace_ms=60.0)
    assert heard == "Call"


def test_unspaced_scripts_are_cut_between_characters() -> None:
    """Japanese and Chinese have no spaces to cut at."""
    pieces = [("こんにちは。パン屋です。", 0.0)]
    heard = heard_text(spoken_of(pieces), heard_ms=900, audio_ms=2000, complete=True, pace_ms=60.0)
    assert 0 < len(heard) < 12


def test_sentences_without_spaces_are_joined_with_one() -> None:
    """Whole sentences arrive without the space that word-wise fragments carry."""
    assert join("Hello, Marcelo.", "How are you?") == " How are you?"
    assert join("Hel", "lo") == "lo"
    assert join("at 9.", "20") == "20"
    assert join("Yes", "no", closed=True) == " no"


def test_pace_is_learned_only_from_plausible_turns() -> None:
    """A short turn, or one with seconds of silence, says nothing about the speaker."""
    assert pace_of("Yes.", 300.0) is None
    assert pace_of("Yes.", 9000.0) is None
    assert pace_of(" ".join(WORDS), AUDIO_MS) == pytest.approx(65, rel=0.3)


texts = st.text(alphabet="ab 1,.!日ü\n", max_size=12)


@given(
    st.lists(st.tuples(texts, st.floats(0, 5000)), max_size=8),
    st.floats(0, 6000),
    st.floats(0, 6000),
    st.floats(0, 6000),
    st.booleans(),
)
def test_heard_is_a_prefix_that_grows_with_what_is_played(
    pieces: list[tuple[str, float]], one_ms: float, two_ms: float, audio_ms: float, complete: bool
) -> None:
    """Any text at any time: heard text is a prefix, and more played is never less heard."""
    spoken = spoken_of(sorted(pieces, key=lambda piece: piece[1]))

    def heard(heard_ms: float) -> str:
        return heard_text(
            spoken, heard_ms=heard_ms, audio_ms=audio_ms, complete=complete, pace_ms=60.0
        )

    less, more = heard(min(one_ms, two_ms)), heard(max(one_ms, two_ms))
    assert spoken.text.startswith(more)
    assert more.startswith(less)

"""Whether a resumed model is about to greet again, by its first words."""

from __future__ import annotations

import pytest

from agent import events
from agent.audio import PcmChunk
from agent.live.regreeting import MAX_HELD_MS, Regreeting

GREETING = "Hello, this is the corner bakery. How can I help?"
AUDIO_100MS = events.AudioReceived(PcmChunk(bytes(4_800), 24_000))


@pytest.mark.parametrize(
    ("said", "verdicts"),
    [
        (["Hello, this is the"], [True]),
        ([" Hello", ",", " this is", " the corner"], [None, None, None, True]),
        (["HELLO THIS is the"], [True]),
        (["Hello, this is a wrong number."], [False]),
        (["Hello", " again"], [None, False]),
        (["We open at seven."], [False]),
        (["", "Hello"], [None, None]),
        (["Hel", "lo, th", "is is th", "e bakery"], [None, None, None, True]),
        (["Hello, there"], [False]),
    ],
)
def test_first_words_tell(said: list[str], verdicts: list[bool | None]) -> None:
    """One or two begin many an answer; case and punctuation make no difference."""
    listener = Regreeting(GREETING)
    assert [listener.text(text) for text in said] == verdicts


def test_one_word_is_no_greeting_to_be_repeated() -> None:
    """Many an answer begins with "Hello" and goes on."""
    listener = Regreeting("Hello!")
    assert listener.text("Hello") is None
    assert listener.text(" again, your order is ready.") is False


def test_agent_without_a_greeting_repeats_none() -> None:
    """Whatever it says is an answer."""
    assert Regreeting("").text("Hello, this is the bakery.") is False


def test_audio_is_kept_back_for_a_moment_only() -> None:
    """Models whose words come late must not be made slow by it."""
    listener = Regreeting(GREETING)
    kept = [listener.audio(AUDIO_100MS) for _ in range(round(MAX_HELD_MS / 100))]
    assert kept == [True, True, True, False]
    assert list(listener.take()) == [AUDIO_100MS] * 4
    assert list(listener.take()) == []

"""How the simulated server hears turns."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from workers.twin import speech
from workers.twin.live_api.ears import Ears, SpeechEnded, SpeechStarted
from workers.twin.live_api.setup import Detection

_DETECTION = Detection(
    manual=False,
    loudness=300,
    prefix_padding_ms=100,
    silence_ms=500,
    interrupts=True,
    all_input=False,
)
_LINE = speech.line("caller_hours").at_rate(16_000).pcm


def silence(ms: int) -> bytes:
    return bytes(ms * 32)


def test_a_spoken_line_is_one_turn() -> None:
    """Speech between silences is heard from its first to its last sound."""
    events = Ears(_DETECTION).push(silence(1000) + _LINE + silence(1000), 16_000)
    started, ended = events
    assert isinstance(started, SpeechStarted)
    assert isinstance(ended, SpeechEnded)
    assert 1000 <= started.at_ms <= 1150
    assert abs(ended.at_ms - (1000 + len(_LINE) / 32)) < 200


def test_a_click_shorter_than_the_prefix_padding_is_not_speech() -> None:
    """Speech begins after ``prefixPaddingMs`` of it."""
    assert Ears(_DETECTION).push(silence(200) + _LINE[3200:4800] + silence(900), 16_000) == []


def test_the_turn_stays_open_while_no_audio_comes() -> None:
    """Only silence that was received ends a turn, and ``flush`` does."""
    ears = Ears(_DETECTION)
    assert len(ears.push(silence(100) + _LINE, 16_000)) == 1
    assert ears.speaking
    assert isinstance(ears.flush()[0], SpeechEnded)
    assert ears.flush() == []


def test_low_sensitivity_wants_louder_speech() -> None:
    """What is quiet starts a turn at high sensitivity only."""
    quiet = b"".join(
        (int.from_bytes(_LINE[at : at + 2], "little", signed=True) // 8).to_bytes(
            2, "little", signed=True
        )
        for at in range(0, len(_LINE), 2)
    )
    assert Ears(_DETECTION).push(quiet + silence(600), 16_000)
    assert not Ears(replace(_DETECTION, loudness=900)).push(quiet + silence(600), 16_000)


@given(st.lists(st.integers(1, 5000), max_size=40), st.sampled_from([8_000, 16_000, 24_000]))
def test_the_split_of_the_audio_changes_nothing(cuts: list[int], rate_hz: int) -> None:
    """Any frame lengths at any rate give the events of the whole."""
    pcm = speech.line("caller_bye").at_rate(rate_hz).pcm + bytes(rate_hz * 2)
    whole = Ears(_DETECTION).push(pcm, rate_hz)
    ears = Ears(_DETECTION)
    events = []
    at = 0
    for cut in [*cuts, len(pcm)]:
        events += ears.push(pcm[at : at + cut], rate_hz)
        at += cut
    assert events == whole

"""Speech of the simulated ends."""

from __future__ import annotations

import audioop
import math

import pytest

from workers.twin import position_code, speech


@pytest.mark.parametrize("name", speech.names())
def test_every_line_is_recorded_at_its_rate_and_loudness(name: str) -> None:
    """Agent lines are 24 kHz, all others 8 kHz, and all are within 1 dB of -20 dBFS."""
    line = speech.line(name)
    agent = name.startswith("agent_")
    assert line.rate_hz == (speech.AGENT_RATE_HZ if agent else speech.PHONE_RATE_HZ)
    assert 1.0 < line.duration_ms / 1000 < 20
    assert abs(20 * math.log10(audioop.rms(line.pcm, 2) / 32768) + 20) < 1


@pytest.mark.parametrize("name", speech.names())
def test_words_of_a_line_cover_its_speech_in_order(name: str) -> None:
    """The words are the text, follow each other in time and end with the audio."""
    line = speech.line(name)
    assert " ".join(word.text for word in line.words) == line.text
    starts = [word.start_ms for word in line.words]
    assert starts == sorted(starts)
    assert line.words[-1].end_ms == pytest.approx(line.duration_ms)


@pytest.mark.parametrize("name", [n for n in speech.names() if n.startswith("caller_")])
def test_a_caller_line_has_no_pause_that_would_end_a_turn(name: str) -> None:
    """No silence inside a caller's line lasts 400 ms, so that a line is one turn."""
    line = speech.line(name)
    size = line.rate_hz // 100 * 2
    quiet = [audioop.rms(line.pcm[at : at + size], 2) < 250 for at in range(0, len(line.pcm), size)]
    longest = max(len(run) for run in "".join(".#"[not q] for q in quiet).split("#"))
    assert longest < 40


def test_a_recorded_text_is_found_whatever_its_punctuation() -> None:
    """Text spoken by TwiML or a script gets its recording, at the rate that is asked for."""
    said = speech.spoken("thank you for calling, goodbye", rate_hz=8_000)
    assert said.text == speech.line("agent_bye").text
    assert said.rate_hz == 8_000
    assert said.duration_ms == pytest.approx(speech.line("agent_bye").duration_ms, abs=2)


def test_an_unknown_text_becomes_the_same_babble_every_time() -> None:
    """Babble is deterministic, as loud as a recording, and takes a plausible time."""
    text = "This sentence was never recorded by anybody."
    said = speech.line(text)
    speech._babble.cache_clear()
    assert speech.line(text) == said
    assert 1500 < said.duration_ms < 4500
    assert 1500 < audioop.rms(said.pcm, 2) < 6000
    assert [word.text for word in said.words] == text.split()


def test_a_coded_line_counts_its_frames() -> None:
    """Frames are numbered from the first on, and a word names each second of them."""
    line = speech.line("coded:990:2500")
    assert line.rate_hz == speech.AGENT_RATE_HZ
    assert line.duration_ms == 2500
    found = position_code.decode(line.pcm, rate_hz=line.rate_hz)
    assert [one.code for one in found] == list(range(990, 1115))
    assert line.text == "c990 c1040 c1090"
    assert [(word.start_ms, word.end_ms) for word in line.words] == [
        (0, 1000),
        (1000, 2000),
        (2000, 2500),
    ]


def test_a_coded_line_is_loud_enough_to_be_speech() -> None:
    """Everybody who waits for speech takes it for such."""
    rms = audioop.rms(speech.line("coded:0:1000").pcm, 2)
    assert rms == pytest.approx(position_code.LOUD_RMS, abs=1)


@pytest.mark.parametrize(
    "name", ["coded:", "coded:5", "coded:5:30", "coded:5:0", "coded:-1:20", "coded:16380:100"]
)
def test_a_coded_line_that_cannot_be_is_an_error(name: str) -> None:
    """It is never read out as a text."""
    with pytest.raises(ValueError, match=r"coded:<first>|numbers are 0 to"):
        speech.line(name)


def test_a_mistyped_name_is_an_error() -> None:
    """What looks like the name of a line must be one, else a typo would be spoken."""
    with pytest.raises(KeyError, match="agent_greeting"):
        speech.line("agent_greting")


def test_speech_after_some_words_begins_with_the_next() -> None:
    """What is left of a line keeps its words in time and its length."""
    whole = speech.line("agent_hours")
    rest = whole.after(5)
    assert rest.text == " ".join(whole.text.split()[5:])
    assert rest.words[0].start_ms == 0
    assert rest.duration_ms == pytest.approx(whole.duration_ms - whole.words[5].start_ms, abs=0.1)
    assert whole.after(0) == whole
    assert whole.after(len(whole.words)).pcm == b""

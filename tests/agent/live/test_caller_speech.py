"""Caller speech by energy: starts, ends, noise, and audio that stops coming."""

from __future__ import annotations

import array

from agent.live.caller_speech import CallerSpeech, CallerSpeechEnded, CallerSpeechStarted

Change = CallerSpeechStarted | CallerSpeechEnded


def level(rms: int, ms: int = 20) -> bytes:
    return array.array("h", [rms, -rms] * (8 * ms)).tobytes()


def feed(speech: CallerSpeech, rms: int, ms: int, start_s: float) -> list[Change]:
    changes = (speech.push(level(rms), start_s + (at + 20) / 1000) for at in range(0, ms, 20))
    return [change for change in changes if change is not None]


def test_speech_starts_where_it_was_first_heard() -> None:
    """The start is dated back to the first loud frame."""
    (change,) = feed(CallerSpeech(), 3_000, 300, 10.0)
    assert isinstance(change, CallerSpeechStarted)
    assert abs(change.at_s - 10.0) < 0.001


def test_speech_ends_after_a_pause_and_is_dated_before_it() -> None:
    """Pauses between words do not end speech, a longer one does, dated to the last word."""
    speech = CallerSpeech()
    feed(speech, 3_000, 500, 0.0)
    assert feed(speech, 0, 400, 0.5) == []
    feed(speech, 3_000, 200, 0.9)
    (change,) = feed(speech, 0, 800, 1.1)
    assert isinstance(change, CallerSpeechEnded)
    assert abs(change.at_s - 1.1) < 0.001


def test_click_is_no_speech() -> None:
    """A loud frame alone is a click on the line."""
    speech = CallerSpeech()
    changes = [*feed(speech, 20_000, 40, 0.0), *feed(speech, 0, 200, 0.04)]
    assert changes == []


def test_steady_noise_is_no_speech_and_speech_over_it_is() -> None:
    """The threshold follows the line's noise."""
    speech = CallerSpeech()
    feed(speech, 500, 6_000, 0.0)
    assert not speech.speaking
    assert feed(speech, 500, 2_000, 6.0) == []
    (change,) = feed(speech, 3_000, 400, 8.0)
    assert isinstance(change, CallerSpeechStarted)


def test_audio_that_stops_coming_ends_speech() -> None:
    """A leg that goes quiet without silence frames does not leave speech open for ever."""
    speech = CallerSpeech()
    feed(speech, 3_000, 500, 0.0)
    assert speech.tick(1.0) is None
    assert speech.deadline == 1.5
    assert speech.tick(1.5) == CallerSpeechEnded(0.5, 500.0)
    assert speech.deadline is None


def test_frames_of_any_length_are_heard() -> None:
    """Time is counted in audio, not in calls."""
    speech = CallerSpeech()
    assert isinstance(speech.push(level(3_000, 200), 0.2), CallerSpeechStarted)
    assert isinstance(speech.push(level(0, 1_000), 1.2), CallerSpeechEnded)
    assert speech.push(b"", 1.2) is None


def test_sound_without_a_pause_is_no_speech_in_the_end() -> None:
    """Hold music and machines do not count as a caller who speaks; after a pause one may again."""
    speech = CallerSpeech()
    changes = feed(speech, 5_000, 180_000, 0.0)
    assert [type(change) for change in changes] == [CallerSpeechStarted, CallerSpeechEnded]
    assert [change.endless for change in changes if isinstance(change, CallerSpeechEnded)] == [True]
    assert not speech.speaking
    feed(speech, 0, 800, 180.0)
    (change,) = feed(speech, 5_000, 300, 181.0)
    assert isinstance(change, CallerSpeechStarted)


def test_voice_and_quiet_of_the_speech_under_way_are_told() -> None:
    """How much voice there was and how long it has been silent; nothing between two speeches."""
    speech = CallerSpeech()
    assert (speech.voiced_ms, speech.quiet_ms, speech.loud_s) == (0.0, 0.0, None)
    feed(speech, 3_000, 500, 0.0)
    feed(speech, 0, 300, 0.5)
    assert (speech.voiced_ms, speech.quiet_ms) == (500.0, 300.0)
    assert speech.loud_s == 0.5
    feed(speech, 0, 300, 0.8)
    assert (speech.voiced_ms, speech.quiet_ms) == (0.0, 0.0)
    feed(speech, 0, 400, 1.1)
    assert (speech.quiet_ms, speech.loud_s) == (0.0, 0.5)

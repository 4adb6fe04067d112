"""Telephone sound: frames, tones, loudness, WAV."""

from __future__ import annotations

import audioop
import base64
import wave
from array import array
from pathlib import Path

import pytest

from telephony.audio.resample import Resampler
from tests.tone import strongest_hz
from workers.twin import phone_audio, position_code


def test_tone_has_no_seam() -> None:
    """Frames of one second repeat without a click, at any length."""
    sound = phone_audio.tone(437, 3000)
    assert (len(sound.frames), sound.count) == (50, 150)
    pcm = phone_audio.to_pcm(sound.ulaw())
    assert strongest_hz(pcm, rate_hz=8000) == pytest.approx(437, abs=2)


def test_frames_carry_their_base64() -> None:
    """Both forms say the same, and the last frame is filled with silence."""
    sound = phone_audio.cut(b"\x10" * 170)
    assert [base64.b64decode(frame.text) for frame in sound.frames] == [
        b"\x10" * 160,
        b"\x10" * 10 + b"\xff" * 150,
    ]


def test_speech_is_loud_and_a_quiet_line_is_not() -> None:
    """The judgement scripts wait by."""
    assert not any(phone_audio.is_loud(frame.ulaw) for frame in phone_audio.QUIET)
    assert not phone_audio.is_loud(b"")
    speech = phone_audio.said("caller_hours").frames
    assert sum(phone_audio.is_loud(frame.ulaw) for frame in speech) > len(speech) * 0.4


def test_wav_holds_both_sides(tmp_path: Path) -> None:
    """The shorter side is filled with silence."""
    path = tmp_path / "call.wav"
    phone_audio.write_wav(path, b"\x10" * 8, b"\xff" * 4)
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getframerate(), file.getnframes()) == (2, 8000, 8)


def test_wav_of_many_pieces_is_whole(tmp_path: Path) -> None:
    """Every sample is at its place, on the side that is shorter than the other as well."""
    path = tmp_path / "long.wav"
    left, right = bytes(range(256)) * 1000, bytes(range(255, -1, -1)) * 333
    phone_audio.write_wav(path, left, right)
    with wave.open(str(path)) as file:
        woven = array("h", file.readframes(file.getnframes()))
    assert woven[0::2].tobytes() == phone_audio.to_pcm(left)
    silence = phone_audio.SILENCE * (len(left) - len(right))
    assert woven[1::2].tobytes() == phone_audio.to_pcm(right + silence)


def test_own_wav_files_can_be_said(tmp_path: Path) -> None:
    """Mono PCM16 of another rate is brought to 8 kHz; stereo is refused."""
    path = tmp_path / "own.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(bytes(2 * 16_000))
    assert phone_audio.said(str(path)).count == 50
    stereo = tmp_path / "stereo.wav"
    phone_audio.write_wav(stereo, b"\xff", b"\xff")
    with pytest.raises(ValueError, match="mono"):
        phone_audio.said(str(stereo))


@pytest.mark.parametrize("loud", [True, False])
def test_numbers_are_read_under_hiss(loud: bool) -> None:
    """On a noisy line too they reach a model at 16 kHz, quiet ones without being speech."""
    ulaw = b"".join(phone_audio.coded(n, loud=loud, hiss=True).ulaw for n in range(300, 500))
    resampler = Resampler(8000, 16000)
    pcm = resampler.push(phone_audio.to_pcm(ulaw)) + resampler.flush()
    found = position_code.decode(pcm, rate_hz=16000)
    assert [one.code for one in found] == list(range(300, 500))
    blocks = [audioop.rms(pcm[at : at + 640], 2) for at in range(0, len(pcm) - 640, 640)]
    # What the twin's models and the worker take for speech begins at 300.
    assert min(blocks) > 2000 if loud else max(blocks) < 290

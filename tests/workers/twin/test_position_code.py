"""Numbers in audio, through everything that a call does to audio."""

from __future__ import annotations

import audioop
import random
import secrets

import pytest

from telephony.audio.resample import Resampler
from workers.twin import phone_audio, position_code, speech
from workers.twin.position_code import CODES, Found, decode, decode_frame, encode, encode_run

RATES_HZ = (8_000, 16_000, 24_000)
# What the thresholds of every judge of speech here leave free: 300 and up is speech.
LEVELS = ((True, 2_500), (False, 60))


@pytest.fixture
def rng() -> random.Random:
    """Chance whose seed is in the output of a test that fails."""
    seed = secrets.randbelow(1 << 32)
    print(f"seed {seed}")
    return random.Random(seed)


def ulaw(pcm: bytes) -> bytes:
    """Send through a phone line."""
    return audioop.ulaw2lin(audioop.lin2ulaw(pcm, 2), 2)


def frames(pcm: bytes, rate_hz: int) -> list[bytes]:
    size = rate_hz // 50 * 2
    return [pcm[at : at + size] for at in range(0, len(pcm), size)]


def codes(found: list[Found]) -> list[int]:
    return [one.code for one in found]


def late_ms(found: list[Found], first: int) -> tuple[float, float]:
    """Say how early and how late a run that began with ``first`` at 0 ms was found."""
    errors = [one.at_ms - 20 * (one.code - first) for one in found]
    return min(errors), max(errors)


@pytest.mark.parametrize("rate_hz", RATES_HZ)
@pytest.mark.parametrize(("loud", "rms"), LEVELS)
def test_every_number_is_read_back_after_ulaw(rate_hz: int, loud: bool, rms: int) -> None:
    """All numbers, frame by frame and from the whole, at both levels; each frame is as loud."""
    pcm = encode_run(0, CODES, rate_hz=rate_hz, loud=loud)
    assert {audioop.rms(frame, 2) for frame in frames(pcm, rate_hz)} <= {rms - 1, rms}
    pcm = ulaw(pcm)
    found = decode(pcm, rate_hz=rate_hz)
    assert codes(found) == list(range(CODES))
    early, late = late_ms(found, 0)
    assert -1 <= early <= late <= 1
    assert [decode_frame(frame, rate_hz=rate_hz) for frame in frames(pcm, rate_hz)] == codes(found)


def test_one_frame_is_the_same_as_in_a_run() -> None:
    """A run is its frames."""
    one_by_one = b"".join(encode(code, rate_hz=8_000) for code in range(1000, 1010))
    assert encode_run(1000, 10, rate_hz=8_000) == one_by_one


def test_level_is_speech_or_silence_to_a_phone() -> None:
    """Loud frames are taken for speech and quiet ones for a quiet line."""
    for loud in (True, False):
        pcm = encode_run(0, 500, rate_hz=8_000, loud=loud)
        sound = phone_audio.from_pcm(pcm)
        assert {phone_audio.is_loud(frame.ulaw) for frame in sound.frames} == {loud}


@pytest.mark.parametrize("loud", [True, False])
@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_frames_stand_a_shift_of_two_ms(rate_hz: int, loud: bool) -> None:
    """A frame that begins up to 2 ms late is read, by itself and from the whole."""
    pcm = encode_run(700, 200, rate_hz=rate_hz, loud=loud)
    for shift_ms in (0.5, 1.7, 2.0):
        shifted = bytes(2 * round(shift_ms * rate_hz / 1000)) + pcm
        whole = frames(shifted, rate_hz)[:200]
        assert [decode_frame(f, rate_hz=rate_hz) for f in whole] == list(range(700, 900))
        assert codes(decode(shifted, rate_hz=rate_hz)) == list(range(700, 900))


@pytest.mark.parametrize("loud", [True, False])
@pytest.mark.parametrize(("in_hz", "out_hz"), [(8_000, 16_000), (24_000, 8_000)])
def test_codes_stand_the_bridge(in_hz: int, out_hz: int, loud: bool) -> None:
    """Caller audio at the model and model audio at the phone, in 20 ms pieces."""
    pcm = encode_run(5_000, 3_000, rate_hz=in_hz, loud=loud)
    resampler = Resampler(in_hz, out_hz)
    phone = in_hz == 8_000
    pieces = frames(ulaw(pcm) if phone else pcm, in_hz)
    out = b"".join(resampler.push(piece) for piece in pieces)
    if not phone:
        out = ulaw(out)
    found = decode(out, rate_hz=out_hz)
    assert codes(found) == list(range(5_000, 8_000))
    early, late = late_ms(found, 5_000)
    assert resampler.delay_ms - 1.5 <= early <= late <= resampler.delay_ms + 1.5
    assert [decode_frame(f, rate_hz=out_hz) for f in frames(out, out_hz)] == codes(found)


@pytest.mark.parametrize(("in_hz", "out_hz"), [(8_000, 16_000), (24_000, 8_000)])
def test_change_of_level_loses_no_frame(in_hz: int, out_hz: int, rng: random.Random) -> None:
    """A quiet frame beside a loud one is found, though a filter lets one ring into the other."""
    pcm = b"".join(encode(n, rate_hz=in_hz, loud=rng.random() < 0.5) for n in range(1_000))
    out = ulaw(Resampler(in_hz, out_hz).push(ulaw(pcm)))
    found = decode(out, rate_hz=out_hz)
    assert codes(found) == list(range(1_000))
    early, late = late_ms(found, 0)
    assert -0.3 <= early <= late <= 3.7
    assert [decode_frame(f, rate_hz=out_hz) for f in frames(out, out_hz)] == codes(found)


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_each_run_is_found_where_it_begins(rate_hz: int, rng: random.Random) -> None:
    """Runs of any length, at any sample, with gaps of any length: all frames, none besides."""
    pcm = b""
    expected: list[Found] = []
    for _ in range(60):
        pcm += bytes(2 * rng.randrange(rate_hz // 10, rate_hz // 2))
        first, count = rng.randrange(CODES - 40), rng.randrange(1, 40)
        at_ms = len(pcm) * 500 / rate_hz
        expected += [Found(at_ms + 20 * n, first + n) for n in range(count)]
        pcm += encode_run(first, count, rate_hz=rate_hz, loud=rng.random() < 0.5)
    found = decode(ulaw(pcm), rate_hz=rate_hz)
    assert codes(found) == codes(expected)
    for one, true in zip(found, expected, strict=True):
        assert abs(one.at_ms - true.at_ms) <= 1.5


def test_splice_never_makes_a_number(rng: random.Random) -> None:
    """Two runs cut together anywhere: whatever is found is a number that is really there."""
    for _ in range(300):
        a = rng.randrange(10, CODES - 20)
        b = a + rng.randrange(-9, 10) if rng.random() < 0.5 else rng.randrange(CODES - 10)
        before = encode_run(a, 3, rate_hz=8_000)[: 2 * rng.randrange(320, 480)]
        after = encode_run(b, 3, rate_hz=8_000)[2 * rng.randrange(160) :]
        pcm = ulaw(before + after)
        there = {a, a + 1, a + 2, b, b + 1, b + 2}
        found = codes(decode(pcm, rate_hz=8_000))
        assert found[:2] == [a, a + 1]
        assert found[-2:] == [b + 1, b + 2]
        assert set(found) <= there
        for offset in range(0, len(pcm) - 320, 34):
            assert decode_frame(pcm[offset : offset + 320], rate_hz=8_000) in there | {None}


def test_frame_counts_if_fifteen_ms_of_it_are_there() -> None:
    """What playout cuts off late in a frame was heard; an early cut leaves nothing to count."""
    run = encode_run(300, 5, rate_hz=8_000)
    for left_ms, last in ((17, 304), (11, 303)):
        cut = ulaw(run[: 2 * 8 * (80 + left_ms)] + bytes(1_000))
        assert codes(decode(cut, rate_hz=8_000)) == list(range(300, last + 1))


def test_frame_cut_in_the_middle_has_no_number() -> None:
    """Half of one code and half of another is neither."""
    for a, b in ((0, 1), (7, 8), (100, 5_000), (8_191, 8_192)):
        half = 160
        frame = encode(a, rate_hz=8_000)[:half] + encode(b, rate_hz=8_000)[half:]
        assert decode_frame(ulaw(frame), rate_hz=8_000) is None


def test_frame_played_twice_is_found_twice() -> None:
    """A repetition is what a test looks for, so it must not be swallowed."""
    pcm = b"".join(encode(code, rate_hz=8_000) for code in (1, 2, 2, 3, 3, 3, 4))
    found = decode(ulaw(pcm), rate_hz=8_000)
    assert codes(found) == [1, 2, 2, 3, 3, 3, 4]
    for number, one in enumerate(found):
        assert abs(one.at_ms - 20 * number) <= 1


def test_two_voices_at_once_have_no_number() -> None:
    """Two runs that sound together are not taken for either."""
    both = audioop.add(
        encode_run(1_000, 100, rate_hz=8_000), encode_run(3_210, 100, rate_hz=8_000), 2
    )
    assert decode(ulaw(both), rate_hz=8_000) == []


def test_silence_and_line_noise_have_no_number() -> None:
    """Neither zeros nor a quiet line."""
    quiet = phone_audio.to_pcm(b"".join(frame.ulaw for frame in phone_audio.QUIET * 20))
    for pcm in (bytes(16_000), quiet, b""):
        assert decode(pcm, rate_hz=8_000) == []
    assert decode_frame(bytes(320), rate_hz=8_000) is None


@pytest.mark.parametrize("name", speech.names())
def test_recorded_speech_has_no_number(name: str) -> None:
    """Not one frame of any recorded line, wherever it is cut."""
    line = speech.line(name)
    assert decode(line.pcm, rate_hz=line.rate_hz) == []


def test_babble_and_tones_have_no_number(rng: random.Random) -> None:
    """What the twin says for want of a recording, what it sings, and white noise."""
    text = " ".join(rng.choice(["one", "and", "banana", "agenda", "ok"]) for _ in range(60))
    for rate_hz in RATES_HZ:
        said = speech.spoken(text, rate_hz=rate_hz)
        assert decode(said.pcm, rate_hz=rate_hz) == []
    for hz in (400, 440, 1_000, 3_300):
        assert decode(phone_audio.to_pcm(phone_audio.tone(hz, 2_000).ulaw()), rate_hz=8_000) == []
    noise = bytes(rng.randrange(256) for _ in range(80_000))
    assert decode(phone_audio.to_pcm(noise), rate_hz=8_000) == []


def test_misuse_is_an_error() -> None:
    """A number too large, a rate too low or a frame of another length is told."""
    with pytest.raises(ValueError, match="16383"):
        encode(CODES, rate_hz=8_000)
    with pytest.raises(ValueError, match="16383"):
        encode(-1, rate_hz=8_000)
    with pytest.raises(ValueError, match="6000 Hz"):
        position_code.encode(0, rate_hz=6_000)
    with pytest.raises(ValueError, match="20 ms"):
        decode_frame(bytes(318), rate_hz=8_000)

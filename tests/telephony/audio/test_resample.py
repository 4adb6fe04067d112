from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.audio.resample import Resampler
from tests.tone import amplitude_at, power_above, strongest_hz, tone

DIRECTIONS = [(8_000, 16_000), (24_000, 8_000)]


def resampled(pcm: bytes, in_hz: int, out_hz: int) -> bytes:
    resampler = Resampler(in_hz, out_hz)
    return resampler.push(pcm) + resampler.flush()


@pytest.mark.parametrize(("in_hz", "out_hz"), DIRECTIONS)
@pytest.mark.parametrize("hz", [200, 1_000, 2_000, 3_000, 3_400])
def test_speech_band_passes_within_one_db(in_hz: int, out_hz: int, hz: int) -> None:
    """Up to 3.4 kHz, the telephone's band, the level changes by less than 1 dB."""
    out = resampled(tone(hz, 500, rate_hz=in_hz), in_hz, out_hz)
    gain_db = 20 * math.log10(amplitude_at(out, hz, rate_hz=out_hz) / 8000)
    assert abs(gain_db) < 1


@pytest.mark.parametrize("hz", [4_600, 5_000, 6_000, 7_500, 9_000, 11_900])
def test_nothing_above_the_band_folds_into_it(hz: int) -> None:
    """From 24 to 8 kHz, a tone above 4.6 kHz comes out at least 60 dB down, at any frequency."""
    out = resampled(tone(hz, 500, rate_hz=24_000), 24_000, 8_000)
    middle = out[1000:-1000]
    assert power_above(middle, 0, rate_hz=8_000) < 8000 / math.sqrt(2) / 1000


@pytest.mark.parametrize("hz", [200, 1_000, 2_000, 3_400])
def test_images_of_the_speech_band_are_removed(hz: int) -> None:
    """From 8 to 16 kHz, the mirror image above 4.6 kHz is at least 60 dB down."""
    out = resampled(tone(hz, 500, rate_hz=8_000), 8_000, 16_000)
    middle = out[1000:-1000]
    assert power_above(middle, 4_600, rate_hz=16_000) < 8000 / math.sqrt(2) / 1000


@pytest.mark.parametrize(("in_hz", "out_hz"), DIRECTIONS)
def test_delay_is_at_most_three_ms_and_as_stated(in_hz: int, out_hz: int) -> None:
    """A click comes out ``delay_ms`` later, which is at most 3 ms."""
    resampler = Resampler(in_hz, out_hz)
    click = np.zeros(in_hz // 50, "<i2")
    click[in_hz // 100] = 30_000
    out = np.frombuffer(resampler.push(click.tobytes()), "<i2")
    peak_ms = int(np.argmax(np.abs(out))) * 1000 / out_hz
    assert peak_ms - 10 == pytest.approx(resampler.delay_ms, abs=1000 / out_hz)
    assert resampler.delay_ms <= 3


@pytest.mark.parametrize(("in_hz", "out_hz"), DIRECTIONS)
def test_every_frame_in_is_a_frame_out(in_hz: int, out_hz: int) -> None:
    """20 ms in are 20 ms out at every push: nothing is held, nothing drifts."""
    resampler = Resampler(in_hz, out_hz)
    frame = bytes(in_hz // 50 * 2)
    assert {len(resampler.push(frame)) for _ in range(100)} == {out_hz // 50 * 2}


@given(
    rates=st.sampled_from([*DIRECTIONS, (16_000, 8_000), (22_050, 8_000), (44_100, 8_000)]),
    cuts=st.lists(st.integers(0, 700), max_size=12),
    seed=st.integers(0, 2**32 - 1),
)
def test_splitting_changes_nothing(rates: tuple[int, int], cuts: list[int], seed: int) -> None:
    """However the input is cut, the outputs are the same, and as many as are due each time."""
    in_hz, out_hz = rates
    noise = np.random.default_rng(seed).integers(-20_000, 20_000, sum(cuts)).astype("<i2")
    whole = np.frombuffer(resampled(noise.tobytes(), in_hz, out_hz), "<i2").astype(int)

    resampler = Resampler(in_hz, out_hz)
    pieces, pushed = b"", 0
    for cut in cuts:
        pieces += resampler.push(noise[pushed : pushed + cut].tobytes())
        pushed += cut
        assert len(pieces) // 2 == math.ceil(pushed * out_hz / in_hz)
    split = np.frombuffer(pieces + resampler.flush(), "<i2").astype(int)

    assert split.size == whole.size
    # Sums in single precision may round the other way in another block.
    assert np.all(np.abs(split - whole) <= 1)


def test_loud_input_saturates() -> None:
    """Full-scale square waves overshoot in any filter; they must clip, not wrap around."""
    square = np.tile(np.repeat(np.array([32767, -32768], "<i2"), 12), 100)
    out = np.frombuffer(resampled(square.tobytes(), 24_000, 8_000), "<i2")
    assert int(out.max()) == 32767
    assert strongest_hz(out.tobytes(), rate_hz=8_000) == pytest.approx(1_000, abs=10)


@pytest.mark.parametrize("level", [12_000, 16_000, 20_000, 24_000, 28_000, 32_766])
@pytest.mark.parametrize("rates", [(8_000, 16_000), (24_000, 8_000)])
def test_output_of_any_level_is_right_up_to_clipping(rates: tuple[int, int], level: int) -> None:
    """What overshoots 16 bits is cut, what does not is left alone: the filter is linear."""
    signs = np.random.default_rng(level).choice([-1, 1], 4_800)
    half = np.frombuffer(resampled((signs * (level // 2)).astype("<i2").tobytes(), *rates), "<i2")
    whole = np.frombuffer(resampled((signs * level).astype("<i2").tobytes(), *rates), "<i2")
    expected = np.clip(2 * half.astype(int), -32_768, 32_767)
    assert np.all(np.abs(whole.astype(int) - expected) <= 2)


def test_nothing_in_nothing_out() -> None:
    """A flush gives the end of a signal once, and nothing where there was none."""
    resampler = Resampler(24_000, 8_000)
    assert resampler.flush() == b""
    resampler.push(bytes(960))
    assert len(resampler.flush()) / 16 >= resampler.delay_ms
    assert resampler.flush() == b""


def test_odd_number_of_bytes_is_refused() -> None:
    """Half a sample is a mistake of the caller's."""
    with pytest.raises(ValueError, match="multiple"):
        Resampler(8_000, 16_000).push(b"\0")


def test_reset_forgets_the_past() -> None:
    """After a reset the output is that of a new resampler."""
    used = Resampler(24_000, 8_000)
    used.push(tone(700, 33, rate_hz=24_000))
    used.reset()
    frame = tone(1_000, 20, rate_hz=24_000)
    assert used.push(frame) == Resampler(24_000, 8_000).push(frame)

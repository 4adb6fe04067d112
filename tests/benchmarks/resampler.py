"""Quality and cost of the resampler beside the ones that were weighed.

Prints a Markdown table: delay, pass band, stop band and microseconds for 20 ms, from 8 to 16 kHz
(towards the model) and from 24 to 8 kHz (towards the caller). Goals: at most 3 ms, within 1 dB to
3.4 kHz, at least 60 dB down above 4.6 kHz, at most 20 us.

    python -m tests.benchmarks.resampler

soxr streams hold audio back by chunks, so their delay is a mean and a worst case: of what was
pushed, how much had not come out after a push. For the others the delay is the filter's.
"""

from __future__ import annotations

import math
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from telephony.audio.resample import Resampler
from tests.tone import amplitude_at, power_above, tone

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import audioop

DIRECTIONS = [(8_000, 16_000), (24_000, 8_000)]
PASS_BAND_HZ = [100, 300, 500, 1_000, 1_500, 2_000, 2_500, 3_000, 3_200, 3_400]
ABOVE_THE_BAND_HZ = [4_600, 5_000, 5_500, 6_000, 7_000, 8_000, 9_000, 10_000, 11_000, 11_900]
LEVEL = 10_000.0

Push = Callable[[bytes], bytes]


@dataclass(frozen=True)
class Candidate:
    name: str
    make: Callable[[int, int], Push]


def evercall(in_hz: int, out_hz: int) -> Push:
    return Resampler(in_hz, out_hz).push


def ratecv(in_hz: int, out_hz: int) -> Push:
    state = None

    def push(pcm: bytes) -> bytes:
        nonlocal state
        out, state = audioop.ratecv(pcm, 2, 1, in_hz, out_hz, state)
        return out

    return push


def soxr_stream(quality: str) -> Callable[[int, int], Push]:
    import soxr

    def make(in_hz: int, out_hz: int) -> Push:
        stream = soxr.ResampleStream(in_hz, out_hz, 1, dtype="int16", quality=quality)
        return lambda pcm: bytes(stream.resample_chunk(np.frombuffer(pcm, "<i2")).tobytes())

    return make


def pyav(in_hz: int, out_hz: int) -> Push:
    import av

    resampler = av.AudioResampler("s16", "mono", out_hz)

    def push(pcm: bytes) -> bytes:
        frame = av.AudioFrame("s16", "mono", len(pcm) // 2)
        frame.sample_rate = in_hz
        frame.planes[0].update(pcm)
        return b"".join(
            bytes(out.planes[0])[: out.samples * 2] for out in resampler.resample(frame)
        )

    return push


def frames(pcm: bytes, rate_hz: int) -> list[bytes]:
    size = rate_hz // 50 * 2
    return [pcm[at : at + size] for at in range(0, len(pcm) - size + 1, size)]


def played(make: Callable[[int, int], Push], pcm: bytes, in_hz: int, out_hz: int) -> bytes:
    """Push frame by frame; what comes out, without the first and last 100 ms."""
    push = make(in_hz, out_hz)
    # Silence behind it brings out what is held back.
    out = b"".join(push(frame) for frame in frames(pcm + bytes(in_hz), in_hz))
    edge = out_hz // 10 * 2
    end = int(len(pcm) * out_hz / in_hz) // 2 * 2 - edge
    return out[edge:end]


def pass_band_db(make: Callable[[int, int], Push], in_hz: int, out_hz: int) -> float:
    """The largest change of level up to 3.4 kHz."""
    worst = 0.0
    for hz in PASS_BAND_HZ:
        out = played(make, tone(hz, 1_000, rate_hz=in_hz, amplitude=LEVEL), in_hz, out_hz)
        worst = max(worst, abs(20 * math.log10(amplitude_at(out, hz, rate_hz=out_hz) / LEVEL)))
    return worst


def stop_band_db(make: Callable[[int, int], Push], in_hz: int, out_hz: int) -> float:
    """How far down the strongest thing is that should not be there: an image or an alias."""
    worst = 0.0
    if out_hz > in_hz:
        for hz in PASS_BAND_HZ:
            out = played(make, tone(hz, 1_000, rate_hz=in_hz, amplitude=LEVEL), in_hz, out_hz)
            worst = max(worst, power_above(out, 4_600, rate_hz=out_hz))
    else:
        for hz in ABOVE_THE_BAND_HZ:
            out = played(make, tone(hz, 1_000, rate_hz=in_hz, amplitude=LEVEL), in_hz, out_hz)
            worst = max(worst, power_above(out, 0, rate_hz=out_hz))
    return 20 * math.log10(LEVEL / math.sqrt(2) / max(worst, 1e-3))


def delay_ms(make: Callable[[int, int], Push], in_hz: int, out_hz: int) -> tuple[float, float]:
    """Mean and largest time from a sample's push to its coming out, frame by frame, 20 ms each.

    The sound of input t comes out at output t + filter delay; it is late by that, and by what was
    held back after the push it came in with.
    """
    push = make(in_hz, out_hz)
    noise = np.random.default_rng(1).integers(-8_000, 8_000, in_hz * 4).astype("<i2")
    pushed, received, held = 0.0, b"", []
    for frame in frames(noise.tobytes(), in_hz):
        received += push(frame)
        pushed += len(frame) / 2 / in_hz
        held.append(pushed - len(received) / 2 / out_hz)
    shift = filter_shift_ms(noise, received, in_hz, out_hz)
    late = [seconds * 1000 for seconds in held[5:]]
    return statistics.fmean(late) + shift, max(late) + shift


def filter_shift_ms(noise: NDArray[Any], out: bytes, in_hz: int, out_hz: int) -> float:
    """By how much the output lags in its own samples, from the correlation at 48 kHz."""
    common = 48_000
    length = common
    spectrum_in = np.fft.rfft(noise[:in_hz].astype(float))
    spectrum_out = np.fft.rfft(np.frombuffer(out, "<i2")[:out_hz].astype(float))
    bins = min(spectrum_in.size, spectrum_out.size, 3_400)
    product = np.zeros(length // 2 + 1, complex)
    product[:bins] = spectrum_out[:bins] * np.conj(spectrum_in[:bins])
    correlation = np.fft.irfft(product, length)
    lag = int(np.argmax(correlation))
    return (lag if lag < length // 2 else lag - length) * 1000 / common


def microseconds(make: Callable[[int, int], Push], in_hz: int, out_hz: int) -> float:
    """Cost of pushing 20 ms, the best of five rounds."""
    push = make(in_hz, out_hz)
    noise = np.random.default_rng(1).integers(-8_000, 8_000, in_hz).astype("<i2").tobytes()
    pieces = frames(noise, in_hz) * 20
    rounds = []
    for _ in range(5):
        begin = time.perf_counter()
        for piece in pieces:
            push(piece)
        rounds.append((time.perf_counter() - begin) / len(pieces))
    return min(rounds) * 1e6


def candidates() -> list[Candidate]:
    found = [Candidate("evercall (numpy, polyphase)", evercall)]
    if find_spec("av"):
        found.append(Candidate("FFmpeg through PyAV", pyav))
    if find_spec("soxr"):
        found += [Candidate(f"soxr stream {q}", soxr_stream(q)) for q in ("HQ", "QQ")]
    return [*found, Candidate("audioop.ratecv", ratecv)]


def main() -> None:
    print(
        "| resampler | kHz | delay ms, mean / worst | pass band dB | stop band dB | us per 20 ms |"
    )
    print("|---|---|---|---|---|---|")
    for candidate in candidates():
        for in_hz, out_hz in DIRECTIONS:
            mean, worst = delay_ms(candidate.make, in_hz, out_hz)
            row = [
                candidate.name,
                f"{in_hz // 1000} to {out_hz // 1000}",
                f"{mean:.1f} / {worst:.1f}",
                f"{pass_band_db(candidate.make, in_hz, out_hz):.2f}",
                f"{stop_band_db(candidate.make, in_hz, out_hz):.0f}",
                f"{microseconds(candidate.make, in_hz, out_hz):.1f}",
            ]
            print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()

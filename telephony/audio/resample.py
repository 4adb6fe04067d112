"""PCM16 from one sample rate to another, filter state kept between chunks.

A polyphase FIR filter, evaluated for a block of outputs at a time as one matrix product: for 20 ms
the number of calls into numpy is what costs, not the arithmetic.

The filter is causal and holds nothing back: `n` samples in give the outputs due by then, so that a
20 ms frame in is a 20 ms frame out, shifted by the filter's delay (1.7 ms between 8 kHz and 16 or
24 kHz). Weighed and measured in ``tests/benchmarks/resampler.py``: soxr streams hold back tens of
milliseconds, ``audioop.ratecv`` aliases, FFmpeg's resampler through PyAV costs the same time but
110 KiB and two threads for each direction of each call.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from telephony.audio.frames import peak

# Attenuation the Kaiser window is designed for. Four dB above what is demanded (60 dB at 4.6 kHz),
# because the estimate of the order is good to a decibel or two.
_STOP_BAND_DB: Final = 64.0
# Pass band to 85 % and stop band from 115 % of the lower rate's half: 3.4 and 4.6 kHz at 8 kHz,
# the band of ITU-T G.712 and its mirror image.
_TRANSITION: Final = 0.30
# Measured: blocks of 0.5 and 4 ms cost a tenth more.
_BLOCK_MS: Final = 2.0


class _Bank(NamedTuple):
    """A filter for one pair of rates; shared by all resamplers, never written to."""

    matrix: NDArray[np.float32]
    """One block of outputs = ``history + block_in`` inputs @ matrix."""
    up: int
    down: int
    block_in: int
    block_out: int
    history: int
    tail: int
    """Inputs of silence that bring out the last of the signal."""
    safe_peak: int
    """Inputs up to here cannot make outputs that 16 bits do not hold."""
    delay_ms: float


@lru_cache(maxsize=32)
def _bank(in_hz: int, out_hz: int) -> _Bank:
    """Design the filter: a Kaiser-windowed sinc at the common multiple of both rates.

    Source: Oppenheim/Schafer, Discrete-Time Signal Processing, 7.6 (order and shape of the window).
    """
    ratio = Fraction(out_hz, in_hz)
    up, down = ratio.numerator, ratio.denominator
    common_hz = in_hz * up
    half_hz = min(in_hz, out_hz) / 2
    width = 2 * math.pi * _TRANSITION * half_hz / common_hz
    order = math.ceil((_STOP_BAND_DB - 7.95) / (2.285 * width))
    order += order % 2
    position = np.arange(order + 1) - order / 2
    taps = np.sinc(2 * half_hz / common_hz * position)
    taps *= np.kaiser(order + 1, 0.1102 * (_STOP_BAND_DB - 8.7))
    taps *= up / taps.sum()

    repeats = max(1, round(in_hz * _BLOCK_MS / 1000 / down))
    block_in, block_out = down * repeats, up * repeats
    history = order // up
    matrix = np.zeros((history + block_in, block_out), np.float32)
    for output in range(block_out):
        # Output k stands at k * down of the common rate, input j at j * up.
        for tap in range((output * down) % up, order + 1, up):
            matrix[(output * down - tap) // up + history, output] = taps[tap]
    matrix.setflags(write=False)
    return _Bank(
        matrix=matrix,
        up=up,
        down=down,
        block_in=block_in,
        block_out=block_out,
        history=history,
        tail=math.ceil(order / 2 / up),
        safe_peak=int(32767 / np.abs(matrix).sum(axis=0).max()),
        delay_ms=order / 2 / common_hz * 1000,
    )


class Resampler:
    """One direction of one stream: push PCM16 at ``in_hz``, get PCM16 at ``out_hz``."""

    __slots__ = ("_bank", "_emitted", "_fresh", "_kept")

    def __init__(self, in_hz: int, out_hz: int) -> None:
        if in_hz <= 0 or out_hz <= 0:
            raise ValueError(f"sample rates must be positive, not {in_hz} and {out_hz}")
        self._bank = _bank(in_hz, out_hz)
        # The inputs that coming outputs still need: the filter's history, then those of a block
        # that was only partly there. ``_emitted`` outputs of that block are out already.
        self._kept = bytes(2 * self._bank.history)
        self._emitted = 0
        self._fresh = True

    @property
    def delay_ms(self) -> float:
        """How much later a sound comes out than it went in, at every frequency alike."""
        return self._bank.delay_ms

    def push(self, pcm: bytes) -> bytes:
        """Every output due with these inputs, none held back.

        Args:
            pcm: PCM16, mono, little-endian.

        Raises:
            ValueError: ``pcm`` has an odd number of bytes.
        """
        if len(pcm) % 2:
            raise ValueError(f"the size of PCM16 is a multiple of two bytes, not {len(pcm)}")
        bank = self._bank
        history, block_in = bank.history, bank.block_in
        self._fresh = self._fresh and not pcm
        data = self._kept + pcm
        available = len(data) // 2 - history
        blocks, rest = divmod(available, block_in)
        self._kept = data[2 * blocks * block_in :]
        if rest:
            # Compute the partial block as if silence followed, and keep only what is due.
            blocks += 1
            data += bytes(2 * (block_in - rest))
        # Windows overlap, and BLAS takes none that do; converting them lays them out one by one.
        windows: NDArray[np.int16] = np.ndarray(
            (blocks, history + block_in), np.int16, data, 0, (block_in * 2, 2)
        )
        outputs: NDArray[np.float32] = windows.astype(np.float32).dot(bank.matrix)
        np.rint(outputs, out=outputs)
        if peak(data) > bank.safe_peak:
            np.maximum(outputs, -32768.0, out=outputs)
            np.minimum(outputs, 32767.0, out=outputs)
        result = outputs.astype(np.int16).tobytes()
        if rest or self._emitted:
            # Outputs stand at k * down; those before available * up are due.
            due = -(-(available * bank.up) // bank.down)
            result = result[self._emitted * 2 : due * 2]
            self._emitted = due - (available // block_in) * bank.block_out
        return result

    def flush(self) -> bytes:
        """The end of the signal still in the filter (``delay_ms`` of it); then start afresh.

        Empty where nothing was pushed since the last flush or reset.
        """
        if self._fresh:
            return b""
        result = self.push(bytes(2 * self._bank.tail))
        self.reset()
        return result

    def reset(self) -> None:
        """Forget the past, as if nothing had been pushed."""
        self._kept = bytes(2 * self._bank.history)
        self._emitted = 0
        self._fresh = True

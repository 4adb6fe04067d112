"""Audio that says where it is from: every 20 ms frame carries a number that survives the phone.

A frame is a chord: for each of 15 bits one of two neighbouring tones, all of them multiples of
100 Hz between 400 and 3300 Hz. Any 10 ms inside the frame hold whole periods of every tone, so a
window that wide reads the chord without leakage wherever in the frame it lies; that is why µ-law,
a resampler's delay of 2 ms and framing at another offset do no harm.

Fourteen bits are the number (327 s of frames); the fifteenth makes the parity even, so that no two
chords differ in one tone only. A window counts where in every pair one tone is far above the other,
all tones are about as loud as each other and little else sounds. A frame counts where windows over
4 ms and more say the same. Two codes cut together, or sounding together, fail all of that; so do
speech, babble and single tones.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FRAME_MS = 20
CODES = 1 << 14
"""Numbers run from 0 to one less than this; frame 16384 (after 327 s) has no number."""

LOUD_RMS = 2500
"""Speech to whoever judges by energy: their thresholds lie between 300 and 900."""
QUIET_RMS = 60
"""Silence to all of them, and enough for µ-law, whose finest step is 8."""

_BITS = 15
_TONES_HZ = 400 + 100 * np.arange(2 * _BITS)  # Bit 0 is 400 or 500 Hz, bit 14 is 3200 or 3300 Hz.
_WINDOW_MS = 10
# A chord without its phases spread is a train of clicks; any fixed spread will do.
_PHASES = np.random.default_rng(15).uniform(0, 2 * np.pi, 2 * _BITS)

# The weaker tone of a pair, against the stronger: 12 dB down.
_LOSER_POWER = 0.25**2
# The weakest tone of the chord, against the strongest: a one-pole filter takes 4 dB of the highest.
_WEAKEST_POWER = 0.35**2
# The chord's share of all that sounds.
_PURITY = 0.85
_FLOOR_RMS = QUIET_RMS / 3
# A code was there for this long beyond the window's own length: 15 ms of the frame's 20.
_STEADY_MS = 5
# Products of more than that are shared out to threads by OpenBLAS, which then wait for each other
# with the processor held: three times as much of it was used.
_CHUNK_MS = 1000
# What the bits say: the number, without the parity, and how many of them are set.
_WORTH = np.array(
    [[*(1 << np.arange(_BITS - 1)), 0], np.ones(_BITS)],
    np.float32,
)


@dataclass(frozen=True, slots=True)
class Found:
    """A frame with its number, and when it began: to 2 ms, or 4 ms where a splice cut it."""

    at_ms: float
    code: int


def encode(code: int, *, rate_hz: int, loud: bool = True) -> bytes:
    """Make the 20 ms frame with this number, as PCM16.

    Raises:
        ValueError: ``code`` is not within 0 and ``CODES``, or no chord fits ``rate_hz``.
    """
    return encode_run(code, 1, rate_hz=rate_hz, loud=loud)


def encode_run(first: int, count: int, *, rate_hz: int, loud: bool = True) -> bytes:
    """Make ``count`` frames numbered from ``first``, as PCM16.

    Raises:
        ValueError: a number is not within 0 and ``CODES``, or no chord fits ``rate_hz``.
    """
    if first < 0 or count < 0 or first + count > CODES:
        raise ValueError(f"numbers are 0 to {CODES - 1}, not {first} to {first + count - 1}")
    tables = _tables(rate_hz)
    number = np.arange(first, first + count)
    bits = number[:, None] >> np.arange(_BITS - 1) & 1
    bits = np.concatenate([bits, bits.sum(axis=1, keepdims=True) & 1], axis=1)
    chords = np.zeros((count, 2 * _BITS), np.float32)
    np.put_along_axis(chords, 2 * np.arange(_BITS) + bits, 1, axis=1)
    half = chords @ tables.tones * np.float32(LOUD_RMS if loud else QUIET_RMS)
    return np.tile(np.rint(half).astype("<i2"), 2).tobytes()


def decode_frame(pcm: bytes, *, rate_hz: int) -> int | None:
    """Read the number of one 20 ms frame of PCM16, at most 3 ms out of place; None without one.

    Raises:
        ValueError: ``pcm`` is not 20 ms.
    """
    if len(pcm) != 2 * FRAME_MS * rate_hz // 1000:
        raise ValueError(f"{len(pcm)} bytes are not {FRAME_MS} ms of PCM16 at {rate_hz} Hz")
    # Windows from 3 to 7 ms: the 4 ms in the middle.
    found = set(_windows(pcm, rate_hz)[3:8].tolist())
    code = found.pop()
    return code if code >= 0 and not found else None


def decode(pcm: bytes, *, rate_hz: int) -> list[Found]:
    """Find every frame with a number in PCM16, in order, wherever it begins.

    A frame that was cut counts if 15 ms of it are there. The same frame twice is found twice.
    Measured: 60 s at any rate take 0.03 s.
    """
    return list(_frames(_windows(pcm, rate_hz)))


def _frames(codes: NDArray[np.int64]) -> Iterator[Found]:
    """Make frames of what the windows say that begin at each millisecond."""
    edges = np.flatnonzero(np.diff(codes)) + 1
    starts = np.concatenate([[0], edges])
    ends = np.concatenate([edges, [len(codes)]]) - 1
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        if end < start or codes[start] < 0 or end - start < _STEADY_MS:
            continue
        # Windows that lie within ``count`` equal frames begin over 20 * count - 10 ms.
        count = max(1, round((end - start + _WINDOW_MS) / FRAME_MS))
        at_ms = (start + end - count * FRAME_MS + _WINDOW_MS) / 2
        for number in range(count):
            yield Found(at_ms + number * FRAME_MS, int(codes[start]))


class _Tables(NamedTuple):
    tones: NDArray[np.float32]
    """Ten milliseconds of each tone; fifteen of them together have an RMS of 1."""
    probes: NDArray[np.float32]
    """For each of ten milliseconds, probe @ its samples: what it adds to each tone's two
    quadratures, as parts of an RMS over ten."""


@lru_cache(maxsize=8)
def _tables(rate_hz: int) -> _Tables:
    if rate_hz % 1000 or rate_hz <= 2 * _TONES_HZ[-1]:
        raise ValueError(f"a position code needs whole kilohertz, 7 or more, not {rate_hz} Hz")
    size = rate_hz * _WINDOW_MS // 1000
    angle = 2 * np.pi * np.outer(np.arange(size) / rate_hz, _TONES_HZ)
    tones = np.sqrt(2 / _BITS) * np.cos(angle + _PHASES).T
    probe = np.concatenate([np.cos(angle), np.sin(angle)], axis=1) * (np.sqrt(2) / size)
    probes = probe.reshape(_WINDOW_MS, size // _WINDOW_MS, -1).transpose(0, 2, 1)
    return _Tables(tones.astype(np.float32), np.ascontiguousarray(probes, np.float32))


def _windows(pcm: bytes, rate_hz: int) -> NDArray[np.int64]:
    """Read the number in the 10 ms after each millisecond; -1 where there is none."""
    step = rate_hz // 1000
    probes = _tables(rate_hz).probes
    samples = np.frombuffer(pcm, "<i2")
    count = max(0, len(samples) // step - _WINDOW_MS + 1)
    codes = np.full(count, -1, np.int64)
    # In pieces, so that an hour does not need a gigabyte.
    for begin in range(0, count, _CHUNK_MS):
        many = min(_CHUNK_MS, count - begin)
        blocks = many + _WINDOW_MS - 1
        piece = samples[begin * step : (begin + blocks) * step].astype(np.float32)
        codes[begin : begin + many] = _read(piece, step, probes)
    return codes


def _read(
    samples: NDArray[np.float32], step: int, probes: NDArray[np.float32]
) -> NDArray[np.int64]:
    """Read the windows that begin at each millisecond of ``step`` samples.

    Each millisecond is probed once, for all ten windows that it is in: as every tone has whole
    periods in ten, it may stand at any place of them. That is a tenth of the products.
    """
    blocks = len(samples) // step
    tens = -(-blocks // _WINDOW_MS)
    padded = np.zeros((tens, _WINDOW_MS, step), np.float32)
    padded.reshape(-1)[: len(samples)] = samples
    # Tone by tone and not window by window: what is compared and added below is rows then.
    parts = (probes @ padded.transpose(1, 2, 0)).transpose(1, 2, 0).reshape(len(probes[0]), -1)
    parts = _over_window(parts[:, :blocks])
    parts *= parts
    low, high = (parts[bit : 2 * _BITS : 2] + parts[2 * _BITS + bit :: 2] for bit in (0, 1))
    winners = np.maximum(low, high)
    power = _over_window(np.einsum("ijk,ijk->ij", padded, padded).reshape(1, -1)[:, :blocks])[0]
    power /= _WINDOW_MS * step
    number, ones = _WORTH @ (high > low).astype(np.float32)
    sure = (
        (np.minimum(low, high) <= _LOSER_POWER * winners).all(axis=0)
        & (winners.min(axis=0) >= _WEAKEST_POWER * winners.max(axis=0))
        & (winners.sum(axis=0) >= _PURITY * power)
        & (power >= _FLOOR_RMS**2)
        & (ones % 2 == 0)
    )
    return np.where(sure, number, -1).astype(np.int64)


def _over_window(blocks: NDArray[np.float32]) -> NDArray[np.float32]:
    """Add each ten neighbours up, along the rows."""
    two = blocks[:, :-1] + blocks[:, 1:]
    four = two[:, :-2] + two[:, 2:]
    eight = four[:, :-4] + four[:, 4:]
    ten: NDArray[np.float32] = eight[:, :-2] + two[:, 8:]
    return ten

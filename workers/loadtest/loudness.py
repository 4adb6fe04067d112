"""When it was loud in µ-law at 8 kHz, and how loud.

Places are milliseconds from the beginning of what is looked at. The blocks are of 2 ms where it
matters when a sound began: that is how exactly a caller's seat knows it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from workers.twin import phone_audio

SPEECH_RMS: Final = 400
"""Below it a block is a line's noise: -38 dBFS, 18 dB below speech here; numbered frames never are,
by 2 ms of any of them (1020 at least)."""
FINE_MS: Final = 2

Span = tuple[float, float]
"""From when until when, in ms."""

_PER_MS = phone_audio.RATE_HZ // 1000
_FULL_SCALE = 32768.0


def levels(ulaw: bytes, *, block_ms: int) -> NDArray[np.float32]:
    """Return the RMS of each whole block, on the scale of PCM16."""
    samples = np.frombuffer(phone_audio.to_pcm(ulaw), "<i2").astype(np.float32)
    size = block_ms * _PER_MS
    blocks = samples[: len(samples) // size * size].reshape(-1, size)
    rms: NDArray[np.float32] = np.sqrt(np.einsum("ij,ij->i", blocks, blocks) / np.float32(size))
    return rms


def loud_spans(
    rms: NDArray[np.float32], *, block_ms: int, join_ms: float, least_ms: float = 0.0
) -> list[Span]:
    """Find what is loud.

    Args:
        rms: Of blocks in order.
        block_ms: Length of a block.
        join_ms: A pause no longer than this is part of what it interrupts.
        least_ms: What is shorter is a click.
    """
    loud = np.concatenate([[False], rms >= SPEECH_RMS, [False]])
    edges = (np.flatnonzero(loud[1:] != loud[:-1]) * block_ms).tolist()
    found: list[list[float]] = []
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        if found and start - found[-1][1] <= join_ms:
            found[-1][1] = float(end)
        else:
            found.append([float(start), float(end)])
    return [(start, end) for start, end in found if end - start >= least_ms]


def quiet_in(rms: NDArray[np.float32], span: Span, *, below: float = SPEECH_RMS) -> Span:
    """Find the longest silence within a span, to ``FINE_MS``; empty at its beginning where none is.

    Args:
        rms: Of blocks of ``FINE_MS``.
        span: Where to look.
        below: What counts as silence.
    """
    first = max(0, math.ceil(span[0] / FINE_MS))
    quiet = np.concatenate([[False], rms[first : math.ceil(span[1] / FINE_MS)] < below, [False]])
    edges = np.flatnonzero(quiet[1:] != quiet[:-1])
    if not len(edges):
        return span[0], span[0]
    starts, ends = edges[::2], edges[1::2]
    longest = int(np.argmax(ends - starts))
    return float((first + starts[longest]) * FINE_MS), float((first + ends[longest]) * FINE_MS)


def loudness_dbfs(rms: NDArray[np.float32]) -> float | None:
    """Return the RMS of all loud blocks together, in dB below full scale; None: there are none."""
    loud = rms[rms >= SPEECH_RMS]
    if not len(loud):
        return None
    return float(20 * np.log10(np.sqrt(np.mean(loud.astype(np.float64) ** 2)) / _FULL_SCALE))


def holes(played_ms: Sequence[Span], *, longest_ms: float) -> list[Span]:
    """Find where playout had run dry; longer ones are pauses between utterances."""
    found = ((before[1], after[0]) for before, after in pairwise(played_ms))
    return [hole for hole in found if hole[1] - hole[0] <= longest_ms]

"""Tones: audio is proved by sending one and finding it on the other side."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def tone(hz: float, duration_ms: float, *, rate_hz: int, amplitude: float = 8000.0) -> bytes:
    """PCM16 of a sine."""
    time_s = np.arange(round(duration_ms * rate_hz / 1000)) / rate_hz
    return np.rint(amplitude * np.sin(2 * np.pi * hz * time_s)).astype("<i2").tobytes()


def amplitude_at(pcm: bytes, hz: float, *, rate_hz: int) -> float:
    """Amplitude of the sine at ``hz`` in PCM16, through a window that hides its neighbours."""
    samples = np.frombuffer(pcm, "<i2").astype(float)
    window = np.blackman(samples.size)
    phase = np.exp(-2j * np.pi * hz * np.arange(samples.size) / rate_hz)
    return float(2 * abs(np.sum(samples * window * phase)) / np.sum(window))


def strongest_hz(pcm: bytes, *, rate_hz: int) -> float:
    """Frequency with the most energy in PCM16, to a few hertz for 200 ms or more."""
    spectrum = _spectrum(pcm)
    return float(np.argmax(spectrum[1:]) + 1) * rate_hz / (2 * (spectrum.size - 1))


def power_above(pcm: bytes, hz: float, *, rate_hz: int) -> float:
    """Root mean square of what lies above ``hz``."""
    spectrum = _spectrum(pcm)
    frequency = np.linspace(0, rate_hz / 2, spectrum.size)
    samples = 2 * (spectrum.size - 1)
    # Blackman's mean square is 0.3046.
    power = 2 * np.sum(spectrum[frequency >= hz] ** 2) / samples**2 / 0.3046
    return float(np.sqrt(power))


def _spectrum(pcm: bytes) -> NDArray[np.float64]:
    samples = np.frombuffer(pcm, "<i2").astype(float)
    samples = samples[: samples.size - samples.size % 2]
    return np.abs(np.fft.rfft(samples * np.blackman(samples.size)))

"""Keeps the sound of the slowest calls, and of no others: a call is a megabyte a minute."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from workers.loadtest.measured import CallMeasured
from workers.loadtest.slowest import SHOWN, slowest
from workers.twin.twilio_api.result import CallResult


class SlowestWavs:
    """WAV files of the slowest calls so far: the caller left, what they heard right.

    Args:
        folder: Where they are; made when there is one.
        most: Files at once.
    """

    def __init__(self, folder: Path, *, most: int = SHOWN) -> None:
        self._folder = folder
        self._most = most
        self._kept: dict[int, CallMeasured] = {}

    @property
    def files(self) -> Mapping[int, Path]:
        """Those there are, by the number of the call."""
        return {number: self._file(number) for number in sorted(self._kept)}

    def clear(self) -> None:
        """Delete what an earlier test has left.

        Raises:
            OSError: that is not possible.
        """
        clear_wavs(self._folder)

    def offer(self, measured: CallMeasured, result: CallResult) -> None:
        """Keep the sound of a call if it is one of the slowest; one that is no more is deleted.

        Raises:
            OSError: it cannot be written.
        """
        kept = {one.number: one for one in slowest([*self._kept.values(), measured], self._most)}
        if measured.number in kept:
            self._folder.mkdir(parents=True, exist_ok=True)
            try:
                result.stereo_wav(self._file(measured.number))
            except OSError:
                # Half of a call is none.
                self._file(measured.number).unlink(missing_ok=True)
                raise
        for number in self._kept.keys() - kept.keys():
            self._file(number).unlink(missing_ok=True)
        self._kept = kept

    def _file(self, number: int) -> Path:
        return wav_file(self._folder, number)


def wav_file(folder: Path, number: int) -> Path:
    """Return where the sound of a call is."""
    return folder / f"call-{number:04d}.wav"


def clear_wavs(folder: Path) -> None:
    """Delete what an earlier test has left.

    Raises:
        OSError: that is not possible.
    """
    for file in folder.glob("call-*.wav"):
        file.unlink()

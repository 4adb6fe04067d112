"""A stereo WAV file that is written at any place and is playable at any moment.

Source of the format: Microsoft RIFF WAVE, ``fmt `` chunk of 16 bytes, PCM16.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Final

from telephony.audio.g711 import RATE_HZ

BYTES_PER_FRAME: Final = 4
"""One sample of each side."""
_HEADER: Final = struct.Struct("<4sI4s4sIHHIIHH4sI")
HEADER_BYTES: Final = _HEADER.size


class StereoWav:
    """PCM16, two channels, 8 kHz. Positions count frames from the start.

    Not buffered: what was written is in the file even if the process is killed.
    """

    def __init__(self, path: Path) -> None:
        """Open the file, going on with what it holds; only its owner may read it.

        Raises:
            OSError: it cannot be opened or made.
        """
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            size_bytes = os.fstat(self._file).st_size
            self.frames = max(0, size_bytes - _HEADER.size) // BYTES_PER_FRAME
            if not self.frames:
                self.update_header()
        except OSError:
            os.close(self._file)
            raise

    def read(self, start: int, frames: int) -> bytes:
        """Return so many frames; silence where the file holds none."""
        size_bytes = frames * BYTES_PER_FRAME
        pcm = os.pread(self._file, size_bytes, self._offset(start))
        return pcm.ljust(size_bytes, b"\0")

    def write(self, start: int, pcm: bytes) -> None:
        """Put frames at ``start``; what lies between the file's end and it becomes silence.

        Raises:
            OSError: they could not all be written.
        """
        view = memoryview(pcm)
        offset = self._offset(start)
        while view:
            written = os.pwrite(self._file, view, offset)
            offset += written
            view = view[written:]
        self.frames = max(self.frames, start + len(pcm) // BYTES_PER_FRAME)

    def update_header(self) -> None:
        """Say in the header how long the file is by now."""
        size_bytes = self.frames * BYTES_PER_FRAME
        byte_rate = RATE_HZ * BYTES_PER_FRAME
        header = _HEADER.pack(
            b"RIFF", size_bytes + _HEADER.size - 8, b"WAVE",
            b"fmt ", 16, 1, 2, RATE_HZ, byte_rate, BYTES_PER_FRAME, 16,
            b"data", size_bytes,
        )  # fmt: skip
        os.pwrite(self._file, header, 0)

    def close(self) -> None:
        """Close the file; the header is as of the last ``update_header``."""
        os.close(self._file)

    @staticmethod
    def _offset(start: int) -> int:
        return _HEADER.size + start * BYTES_PER_FRAME

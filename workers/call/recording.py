"""Two-sided audio of a call, streamed to disk: a stereo WAV, caller left, agent right.

The call hands pieces over and never waits. They go in batches through a bounded queue to one
thread, which lays each batch over what the file holds at its place: silence where nobody spoke,
the agent's speech taken back where a barge-in cleared it. After each batch the header says how
long the file is, so that it can be played even if the process is killed. A disk that is full or
slow costs recording, which is counted, and nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import re
import threading
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from telephony.audio.g711 import BYTES_PER_MS, RATE_HZ, ulaw_to_pcm
from workers.call.wav import BYTES_PER_FRAME, HEADER_BYTES, StereoWav

# Some 100 pieces a second come from a call that is busy on both sides.
BATCH_PIECES: Final = 50
# Ten seconds of a hundred such calls. When it is full the newest audio is dropped.
QUEUE_BATCHES: Final = 2_000
# How long a call that ends waits for its file.
CLOSE_TIMEOUT_S: Final = 5.0
# Twilio ends a call after 4 hours unless told otherwise, 24 at most (Calls API, TimeLimit).
MAX_FRAMES: Final = 24 * 3600 * RATE_HZ
# Pieces of one utterance are adjacent but for rounding.
_SNAP_FRAMES: Final = 8
# One batch is about a second; pieces that lie further apart are written one by one.
_MAX_RUN_FRAMES: Final = 10 * RATE_HZ
_CALLER, _AGENT = 0, 1
_NOWHERE: Final = -MAX_FRAMES

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Piece:
    channel: int
    at_ms: float
    ulaw: bytes


@dataclass(frozen=True, slots=True)
class _Cleared:
    at_ms: float


@dataclass(frozen=True, slots=True)
class _Batch:
    file: _File
    pieces: Sequence[_Piece | _Cleared]
    closed: asyncio.Future[None] | None = None


class Recorder:
    """One thread that writes the recordings of all calls of this process."""

    def __init__(self, folder: Path, *, queue_batches: int = QUEUE_BATCHES) -> None:
        self._folder = folder
        self._limit = queue_batches
        # Bound: ``_limit`` for audio; the end of a recording always gets in, one per call.
        self._queue: queue.SimpleQueue[_Batch | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    def path(self, call_sid: str) -> Path:
        """Return where a call's recording is kept.

        Raises:
            ValueError: ``call_sid`` cannot be a call SID.
        """
        if not re.fullmatch(r"[A-Za-z0-9]{1,64}", call_sid):
            raise ValueError("not a call SID")
        return self._folder / f"{call_sid}.wav"

    def open(self, call_sid: str, *, offset_ms: float = 0.0) -> Recording:
        """Record one stream of a call; a later stream goes on in the same file.

        Args:
            call_sid: Names the file.
            offset_ms: Where the stream begins, since the call was answered.
        """
        return Recording(self, _File(self.path(call_sid)), offset_ms)

    def length_ms(self, call_sid: str) -> float:
        """How much of a call is on the disk; 0 where there is nothing."""
        try:
            size_bytes = self.path(call_sid).stat().st_size
        except OSError:
            return 0.0
        return max(0, size_bytes - HEADER_BYTES) / BYTES_PER_FRAME / (RATE_HZ / 1000)

    def close(self) -> None:
        """Write what is queued and stop the thread, bounded."""
        self._queue.put(None)
        self._thread.join(CLOSE_TIMEOUT_S)

    def put(self, batch: _Batch) -> bool:
        """Hand a batch to the thread; False where the queue is full."""
        if batch.closed is None and self._queue.qsize() >= self._limit:
            return False
        self._queue.put(batch)
        return True

    def _run(self) -> None:
        while (batch := self._queue.get()) is not None:
            try:
                batch.file.write(batch.pieces)
            except Exception:  # noqa: BLE001  # the thread's edge: a bug costs a batch, not all calls
                batch.file.lost_pieces += len(batch.pieces)
                _log.exception("recording.failed", file=batch.file.path.name)
            if batch.closed is not None:
                batch.file.close()
                _resolve(batch.closed)


class Recording:
    """The recording of one stream: an ``AudioTap`` of its transport."""

    def __init__(self, recorder: Recorder, file: _File, offset_ms: float) -> None:
        self._recorder = recorder
        self._file = file
        self._offset_ms = offset_ms
        self._pieces: list[_Piece | _Cleared] = []
        self._dropped = 0
        self._closed = False

    @property
    def path(self) -> Path:
        """The file."""
        return self._file.path

    @property
    def lost_pieces(self) -> int:
        """Pieces of about 20 ms that are not in the file: the queue or the disk was full."""
        return self._dropped + self._file.lost_pieces

    def caller_audio(self, ulaw: bytes, *, at_ms: float) -> None:
        """Record what the caller said."""
        self._add(_Piece(_CALLER, at_ms + self._offset_ms, ulaw))

    def agent_audio(self, ulaw: bytes, *, at_ms: float) -> None:
        """Record what the caller will hear."""
        self._add(_Piece(_AGENT, at_ms + self._offset_ms, ulaw))

    def agent_cleared(self, *, at_ms: float) -> None:
        """Take back the agent's audio at and after ``at_ms``."""
        self._add(_Cleared(at_ms + self._offset_ms))

    async def close(self) -> None:
        """Write what is left and wait for the file to be closed, at most ``CLOSE_TIMEOUT_S``."""
        if self._closed:
            return
        self._closed = True
        done = asyncio.get_running_loop().create_future()
        self._recorder.put(_Batch(self._file, self._pieces, done))
        self._pieces = []
        _, late = await asyncio.wait([done], timeout=CLOSE_TIMEOUT_S)
        if late:
            # The thread closes it when the disk comes back.
            done.cancel()
            _log.error("recording.not_closed", file=self._file.path.name)

    def _add(self, piece: _Piece | _Cleared) -> None:
        if self._closed:
            return
        self._pieces.append(piece)
        if len(self._pieces) < BATCH_PIECES:
            return
        if not self._recorder.put(_Batch(self._file, self._pieces)):
            # Audio may be lost, but what was cleared must not come back.
            cleared = [item.at_ms for item in self._pieces if isinstance(item, _Cleared)]
            self._dropped += len(self._pieces) - len(cleared)
            self._pieces = [_Cleared(min(cleared))] if cleared else []
            return
        self._pieces = []


class _File:
    """The thread's side: pieces over what the file holds. Opened with the first of them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lost_pieces = 0
        self._wav: StereoWav | None = None
        self._next = [_NOWHERE, _NOWHERE]
        self._complained = False

    def write(self, pieces: Sequence[_Piece | _Cleared]) -> None:
        run: list[tuple[int, int, array[int]]] = []
        for piece in pieces:
            if isinstance(piece, _Cleared):
                self._lay(run)
                run = []
                self._clear(max(0, round(piece.at_ms * BYTES_PER_MS)))
                continue
            placed = self._place(piece)
            if placed is None:
                continue
            run.append(placed)
            if _end(run) - min(start for _, start, _ in run) > _MAX_RUN_FRAMES:
                self._lay(run[:-1])
                run = run[-1:]
        self._lay(run)

    def close(self) -> None:
        if self._wav is not None:
            with contextlib.suppress(OSError):
                self._wav.close()
            self._wav = None

    def _place(self, piece: _Piece) -> tuple[int, int, array[int]] | None:
        start = round(piece.at_ms * BYTES_PER_MS)
        if abs(start - self._next[piece.channel]) <= _SNAP_FRAMES:
            start = self._next[piece.channel]
        ulaw = piece.ulaw[-start:] if start < 0 else piece.ulaw
        start = max(0, start)
        self._next[piece.channel] = start + len(ulaw)
        if not ulaw:
            return None
        if start + len(ulaw) > MAX_FRAMES:
            self.lost_pieces += 1
            return None
        return piece.channel, start, array("h", ulaw_to_pcm(ulaw))

    def _lay(self, run: Sequence[tuple[int, int, array[int]]]) -> None:
        if not run:
            return
        first = min(start for _, start, _ in run)
        try:
            wav = self._open()
            both = array("h", wav.read(first, _end(run) - first))
            for channel, start, samples in run:
                at = 2 * (start - first) + channel
                both[at : at + 2 * len(samples) : 2] = samples
            wav.write(first, both.tobytes())
            wav.update_header()
        except OSError as error:
            self.lost_pieces += len(run)
            self._complain(error)

    def _clear(self, start: int) -> None:
        self._next[_AGENT] = _NOWHERE
        if self._wav is None and not self.path.exists():
            return
        try:
            wav = self._open()
            while start < wav.frames:
                both = array("h", wav.read(start, min(wav.frames - start, _MAX_RUN_FRAMES)))
                both[1::2] = array("h", bytes(len(both)))
                wav.write(start, both.tobytes())
                start += len(both) // 2
        except OSError as error:
            self._complain(error)

    def _open(self) -> StereoWav:
        if self._wav is None:
            self._wav = StereoWav(self.path)
        return self._wav

    def _complain(self, error: OSError) -> None:
        if not self._complained:
            self._complained = True
            _log.error("recording.not_written", file=self.path.name, error=error.strerror)


def _end(run: Sequence[tuple[int, int, array[int]]]) -> int:
    return max(start + len(samples) for _, start, samples in run)


def _resolve(future: asyncio.Future[None]) -> None:
    def resolve() -> None:
        if not future.done():
            future.set_result(None)

    with contextlib.suppress(RuntimeError):
        # The loop may be gone by now; then nobody waits.
        future.get_loop().call_soon_threadsafe(resolve)

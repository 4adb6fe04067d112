"""Greetings kept from earlier calls, as µ-law files that play the instant a stream starts.

A greeting is known by everything that shapes it: agent, model, voice, language and words. What is
kept is read once, when a worker starts, so no call waits for a disk.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import structlog

from agent.audio import PcmChunk
from agent.spec import AgentSpec
from telephony.audio.g711 import RATE_HZ, pcm_to_ulaw, ulaw_to_pcm
from telephony.audio.resample import Resampler

# A greeting of a minute is a mistake, or another file.
MAX_SIZE_BYTES = 60 * RATE_HZ

_log = structlog.get_logger(__name__)


class GreetingCache:
    """The kept greetings of one data folder. Its methods belong to the event loop's thread."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / "greetings"
        self._kept: dict[str, PcmChunk | None] = {}
        # Bound: one entry for each agent file of this process.
        self._coming: set[str] = set()
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="greetings")

    def get(self, spec: AgentSpec) -> PcmChunk | None:
        """Return the greeting's audio at 8 kHz, if the spec wants it kept and it is.

        Reads the disk the first time only; ask once for each agent before taking calls.
        """
        if not spec.greeting.cached or not spec.greeting.text:
            return None
        key = _key(spec)
        if key not in self._kept:
            self._kept[key] = _read(self._folder / key)
        return self._kept[key]

    def keep(self, spec: AgentSpec, audio: PcmChunk) -> None:
        """Keep the greeting's audio; a thread converts and writes it. The first one stays."""
        if not spec.greeting.cached or not spec.greeting.text or self.get(spec) is not None:
            return
        key = _key(spec)
        if key not in self._coming and 0 < audio.duration_ms * RATE_HZ <= MAX_SIZE_BYTES * 1000:
            self._coming.add(key)
            self._writer.submit(self._convert, key, audio)

    def close(self) -> None:
        """Wait for files being written."""
        self._writer.shutdown()

    def _convert(self, key: str, audio: PcmChunk) -> None:
        ulaw = _to_ulaw(audio)
        self._kept[key] = PcmChunk(ulaw_to_pcm(ulaw), RATE_HZ)
        _write(self._folder / key, ulaw)


def _key(spec: AgentSpec) -> str:
    parts = (spec.name, spec.model, spec.voice, spec.language or "", spec.greeting.text or "")
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32] + ".ulaw"


def _to_ulaw(audio: PcmChunk) -> bytes:
    if audio.rate_hz == RATE_HZ:
        return pcm_to_ulaw(audio.pcm)
    resampler = Resampler(audio.rate_hz, RATE_HZ)
    return pcm_to_ulaw(resampler.push(audio.pcm) + resampler.flush())


def _read(path: Path) -> PcmChunk | None:
    try:
        with path.open("rb") as stream:
            ulaw = stream.read(MAX_SIZE_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        _log.warning("greeting.not_read", error=error.strerror)
        return None
    return PcmChunk(ulaw_to_pcm(ulaw), RATE_HZ) if 0 < len(ulaw) <= MAX_SIZE_BYTES else None


def _write(path: Path, ulaw: bytes) -> None:
    """Write the whole file or none: half a greeting would be played for good."""
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent)
        with os.fdopen(handle, "wb") as stream:
            stream.write(ulaw)
        Path(temporary).replace(path)
    except OSError as error:
        # This process has it in memory; the next one asks the model again.
        _log.warning("greeting.not_kept", error=error.strerror)
        if temporary is not None:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()

"""What all processes of one parent measured, asked of any of them.

Each answers on a Unix socket in the parent's private directory: whoever connects is sent its
exposition, and that is all. The socket is named for the process's place, so that a series goes on
when the process is replaced; one that is leaving meanwhile answers as ``0-leaving``, because calls
still end in it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import structlog

from workers.entrypoints.supervisor.exposition import merged

ANSWER_S: Final = 1.0
_SUFFIX: Final = ".sock"
_LEAVING: Final = "-leaving"
_MISSED: Final = "evercall_scrape_missed_total"

_log = structlog.get_logger(__name__)


class Siblings:
    """This process's way to the others.

    Args:
        folder: The parent's private directory.
        place: This process's place.
    """

    def __init__(self, folder: Path, place: int) -> None:
        self._folder = folder
        self._path = folder / f"{place}{_SUFFIX}"
        self._missed = 0
        self._gathering: asyncio.Task[list[tuple[str, bytes]]] | None = None

    @asynccontextmanager
    async def answering(self, exposition: Callable[[], bytes]) -> AsyncIterator[None]:
        """Answer the others with ``exposition`` from enter to exit."""

        async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                writer.write(self._with_missed(exposition()))
                async with asyncio.timeout(ANSWER_S):
                    await writer.drain()
            except (OSError, TimeoutError):
                writer.transport.abort()
            finally:
                writer.close()

        coming = self._path.with_suffix(".new")
        coming.unlink(missing_ok=True)
        server = await asyncio.start_unix_server(answer, coming)
        # The one that is replaced still answers, under another name. The sockets do not mind.
        with contextlib.suppress(FileNotFoundError):
            self._path.rename(self._leaving)
        coming.rename(self._path)
        inode = self._path.stat().st_ino
        try:
            yield
        finally:
            server.close()
            if self._gathering is not None:
                self._gathering.cancel()
            for path in (self._path, self._leaving):
                with contextlib.suppress(FileNotFoundError):
                    if path.stat().st_ino == inode:
                        path.unlink()

    async def gather(self, own: bytes) -> bytes:
        """Return this process's exposition and the others', each sample with its ``process``.

        Whoever does not answer within ``ANSWER_S`` is left out and counted. Requests that come
        meanwhile wait for the same answers: strangers' are not to be multiplied.
        """
        if self._gathering is None or self._gathering.done():
            self._gathering = asyncio.create_task(self._ask_all(), name="gather-metrics")
        others = await asyncio.shield(self._gathering)
        mine = (self._path.stem, self._with_missed(own))
        return merged(sorted([mine, *others], key=lambda named: named[0]))

    async def _ask_all(self) -> list[tuple[str, bytes]]:
        inode = _inode(self._path)
        paths = [path for path in self._folder.glob(f"*{_SUFFIX}") if _inode(path) != inode]
        texts = await asyncio.gather(*map(self._ask, paths))
        return [
            (path.stem, text) for path, text in zip(paths, texts, strict=True) if text is not None
        ]

    async def _ask(self, path: Path) -> bytes | None:
        try:
            async with asyncio.timeout(ANSWER_S):
                reader, writer = await asyncio.open_unix_connection(path)
                try:
                    text = await reader.read()
                finally:
                    writer.close()
        except ConnectionRefusedError:
            if path.stem.endswith(_LEAVING):
                # It is gone, and was to go.
                _remove(path)
                return None
            text = b""
        except (OSError, TimeoutError):
            text = b""
        # One that dies in between ends in the middle of a line, or before the first.
        if text.endswith(b"\n"):
            return text
        self._missed += 1
        _log.warning("metrics.process_missed", missed=path.stem)
        return None

    @property
    def _leaving(self) -> Path:
        return self._path.with_name(self._path.stem + _LEAVING + _SUFFIX)

    def _with_missed(self, exposition: bytes) -> bytes:
        count = (
            f"# HELP {_MISSED} Processes of this machine that did not tell their metrics in time.\n"
            f"# TYPE {_MISSED} counter\n{_MISSED} {float(self._missed)}\n"
        )
        return exposition + count.encode()


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)

"""Where shards ask for what only the leader of a test has: its Live side and its worker's records.

A Unix socket in a folder that nobody else may open, one question a connection. What the Live side
has kept of a call is megabytes of sound, so the answer is a pickle, and no JSON: both ends are
processes of one test on one machine. Their monotonic clock is the same, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import pickle
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, cast

from workers.loadtest.errors import LoadTestError
from workers.loadtest.sessions import Sessions
from workers.twin.live_api.session_log import SessionLog

# The worker closes connections and writes records for a few seconds after a call.
_ANSWER_S: Final = 30.0


@asynccontextmanager
async def desk(
    sessions: Sessions | None, reset_gaps_ms: Callable[[str], Awaitable[tuple[float, ...]]]
) -> AsyncIterator[str]:
    """Answer until exit; gives where.

    Args:
        sessions: None: the Live side is not simulated.
        reset_gaps_ms: As in ``UnderTest``.
    """

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            question = json.loads(await reader.readline())
            found: object = ()
            logs: list[SessionLog] = []
            if "gaps" in question:
                found = await reset_gaps_ms(question["gaps"])
            elif sessions is not None:
                found = logs = await sessions.take(question["sessions"])
            writer.write(pickle.dumps(found, protocol=pickle.HIGHEST_PROTOCOL))
            for log in logs:
                log.drop_audio()
            await writer.drain()
        writer.close()

    with TemporaryDirectory(prefix="evercall-desk-") as folder:
        path = str(Path(folder) / "desk")
        server = await asyncio.start_unix_server(answer, path)
        try:
            yield path
        finally:
            server.close()


class AtDesk:
    """Asks at a desk; as ``Sessions`` it takes what the Live side has kept.

    Args:
        path: What ``desk`` gave.
    """

    def __init__(self, path: str) -> None:
        self._path = path

    async def take(self, number: int) -> list[SessionLog]:
        """Return the connections of a call, which are forgotten there with that.

        Raises:
            LoadTestError: nobody answers.
        """
        return cast(list[SessionLog], list(await self._ask({"sessions": number})))

    async def reset_gaps_ms(self, call_sid: str) -> tuple[float, ...]:
        """Return the gaps of a call's reset reports.

        Raises:
            LoadTestError: nobody answers.
        """
        return cast(tuple[float, ...], tuple(await self._ask({"gaps": call_sid})))

    async def _ask(self, question: dict[str, Any]) -> Any:
        try:
            async with asyncio.timeout(_ANSWER_S):
                reader, writer = await asyncio.open_unix_connection(self._path)
                try:
                    writer.write(json.dumps(question).encode() + b"\n")
                    return pickle.loads(await reader.read())  # noqa: S301  our own: see above
                finally:
                    writer.close()
        except (OSError, EOFError, pickle.UnpicklingError) as error:
            raise LoadTestError("The leader of the test does not answer any more.") from error

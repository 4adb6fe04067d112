"""A media server that does to its connections what a dying, hung or refusing process does."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import struct
from contextlib import suppress
from typing import Any, Self

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from workers.twin import phone_audio


class RawMediaServer:
    """Says ``speech_ms`` of a tone on each stream, then a mark; never closes by itself.

    ``status`` is answered in place of the upgrade, 0 is no answer at all.
    """

    def __init__(self, *, status: int = 101, speech_ms: int = 0) -> None:
        self.status = status
        self.speech_ms = speech_ms
        self.connections: list[ServerConnection] = []
        self.messages: list[list[dict[str, Any]]] = []
        self.codes: list[int | None] = []

    async def __aenter__(self) -> Self:
        self._server: Server = await serve(
            self._handle,
            "127.0.0.1",
            0,
            process_request=self._answer,
            compression=None,
            ping_interval=None,
            close_timeout=0.2,
        )
        self.url = f"ws://127.0.0.1:{next(iter(self._server.sockets)).getsockname()[1]}/media"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.kill()
        self._server.close()
        await self._server.wait_closed()

    def of(self, event: str, stream: int = 0) -> list[dict[str, Any]]:
        """What has come on a stream."""
        if stream >= len(self.messages):
            return []
        return [message for message in self.messages[stream] if message["event"] == event]

    def kill(self, *, reset: bool = True) -> None:
        """End every connection as the system ends those of a dead process."""
        for connection in self.connections:
            if reset:
                sock = connection.transport.get_extra_info("socket")
                with suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.transport.abort()
            else:
                connection.transport.close()

    def hang(self) -> None:
        """Take nothing from any connection any more; the system goes on holding them."""
        for connection in self.connections:
            connection.transport.pause_reading()

    async def say(self, ms: int, stream: int = 0) -> None:
        """Send a tone on a stream, whether anybody hears it or not."""
        sid = self.messages[stream][1]["streamSid"]
        ulaw = phone_audio.tone(600, ms).ulaw()
        payload = base64.b64encode(ulaw).decode()
        message = {"event": "media", "streamSid": sid, "media": {"payload": payload}}
        await self.connections[stream].send(json.dumps(message))

    async def _answer(self, connection: ServerConnection, _request: Request) -> Response | None:
        if self.status == 0:
            await asyncio.sleep(1)
        if self.status != 101:
            return Response(self.status, "No", Headers({"Content-Length": "0"}))
        return None

    async def _handle(self, connection: ServerConnection) -> None:
        stream = len(self.connections)
        self.connections.append(connection)
        self.messages.append([])
        try:
            async for text in connection:
                message = json.loads(text)
                self.messages[stream].append(message)
                if message["event"] == "start" and self.speech_ms:
                    await self.say(self.speech_ms, stream)
        except ConnectionClosed:
            pass
        self.codes.append(connection.close_code)

"""A client of the simulated server that knows nothing but WebSocket and JSON."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from workers.twin.live_api.server import LiveTwin

DEVELOPER = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"
VERTEX = "/ws/google.cloud.aiplatform.v1beta1.LlmBidiService/BidiGenerateContent"
SETUP: dict[str, Any] = {"model": "models/gemini-3.8-live", "outputAudioTranscription": {}}


@asynccontextmanager
async def dial(
    live: LiveTwin,
    path: str = DEVELOPER,
    *,
    key: str = "test-key",
    headers: dict[str, str] | None = None,
    **options: Any,
) -> AsyncIterator[ClientConnection]:
    headers = {"x-goog-api-key": key} if headers is None else headers
    options = {"max_size": None, "max_queue": None, "ping_interval": None} | options
    url = live.base_url.replace("https", "wss") + path
    async with connect(url, ssl=live.client_ssl(), additional_headers=headers, **options) as socket:
        yield socket


async def receive(socket: ClientConnection) -> dict[str, Any]:
    async with asyncio.timeout(5):
        frame = await socket.recv()
    assert isinstance(frame, bytes)
    message: dict[str, Any] = json.loads(frame)
    return message


async def send(socket: ClientConnection, message: dict[str, Any]) -> None:
    await socket.send(json.dumps(message))


async def set_up(socket: ClientConnection, **setup: Any) -> dict[str, Any]:
    await send(socket, {"setup": SETUP | setup})
    return await receive(socket)


async def receive_close(socket: ClientConnection) -> tuple[int, str]:
    with pytest.raises(ConnectionClosed) as closed:  # noqa: PT012  (any number of frames first)
        while True:
            async with asyncio.timeout(5):
                await socket.recv()
    frame = closed.value.rcvd
    return (1006, "") if frame is None else (frame.code, frame.reason)

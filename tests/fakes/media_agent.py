"""A media stream handler that speaks tones, echoes, and remembers every message."""

from __future__ import annotations

import base64
import json
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from workers.twin import phone_audio


class MediaAgent:
    """A media handler that answers with tones and remembers everything it was sent."""

    def __init__(self, *, echo: bool = False, speak_ms: int = 0, hz: int = 600) -> None:
        self.messages: list[dict[str, Any]] = []
        self.raw: list[object] = []
        self.close_code: int | None = None
        self._echo = echo
        self._speech = phone_audio.tone(hz, speak_ms).ulaw() if speak_ms else b""
        self.sid = ""
        self.after_start: list[dict[str, Any]] = []

    async def __call__(self, socket: WebSocket) -> None:
        try:
            while True:
                message = await socket.receive()
                if message["type"] == "websocket.disconnect":
                    self.close_code = message["code"]
                    return
                text = message.get("text")
                self.raw.append(text if text is not None else message.get("bytes"))
                try:
                    decoded = json.loads(text or "")
                except ValueError:
                    continue
                self.messages.append(decoded)
                await self.on_message(socket, decoded)
        except (WebSocketDisconnect, RuntimeError):
            return

    async def on_message(self, socket: WebSocket, message: dict[str, Any]) -> None:
        if message["event"] == "start":
            self.sid = message["streamSid"]
            if self._speech:
                await self.send(socket, "media", media={"payload": b64(self._speech)})
                await self.send(socket, "mark", mark={"name": "greeting"})
            for extra in self.after_start:
                await socket.send_text(json.dumps(extra))
        if message["event"] == "media" and self._echo:
            await self.send(socket, "media", media={"payload": message["media"]["payload"]})

    async def send(self, socket: WebSocket, event: str, **body: object) -> None:
        await socket.send_text(json.dumps({"event": event, "streamSid": self.sid, **body}))

    def of(self, event: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["event"] == event]


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()

"""The far ends of N calls, and behind the same port the text model that keeps their summaries.

Driven as ``far_end`` is; each answer also tells how many summaries were asked for so far.
"""

import asyncio
import json
import ssl
from collections.abc import Callable
from typing import Any

import uvloop

from tests.benchmarks import far_end
from tests.benchmarks.far_caller import Call
from tests.benchmarks.far_model import Model
from workers.twin.text_model.answer import answer
from workers.twin.text_model.behaviour import Kind
from workers.twin.text_model.request import read_question

_ANSWER_S = 1.0
"""What the text model takes; the bot waits for it in the middle of everything else."""


class Listener(Model):
    """The Live API's end of a call; the same port answers for the text model, too."""

    def __init__(self, ready: Callable[[Model], Call], asked: Callable[[], None]) -> None:
        super().__init__(ready)
        self._asked = asked
        self._head = b""
        self._is_http: bool | None = None

    def data_received(self, data: bytes) -> None:
        if self._is_http is None:
            self._head += data
            if len(self._head) < len(b"POST "):
                return
            self._is_http = self._head.startswith(b"POST ")
            data, self._head = self._head, b""
        if not self._is_http:
            super().data_received(data)
            return
        self._head += data
        head, end, body = self._head.partition(b"\r\n\r\n")
        if not end:
            return
        line, *fields = head.decode("latin-1").split("\r\n")
        headers = {
            name.lower(): value for name, _, value in (each.partition(": ") for each in fields)
        }
        size = int(headers["content-length"])
        if len(body) < size:
            return
        self._head = body[size:]
        self._asked()
        asyncio.get_running_loop().call_later(
            _ANSWER_S, self._answer, line.split()[1].partition("?")[0], body[:size]
        )

    def _answer(self, path: str, body: bytes) -> None:
        found = json.dumps(answer(read_question(path, body), Kind.OK, number=1)).encode()
        self._transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
            % (len(found), found)
        )


class FarEnd(far_end.FarEnd):
    """The far ends of all calls, a text model among them."""

    summaries = 0

    async def do(self, command: dict[str, Any]) -> dict[str, Any]:
        """Carry out one command; each answer tells how many summaries were asked for by then."""
        return {**await super().do(command), "summaries": self.summaries}

    async def _listen(self, certificate: str, key: str) -> dict[str, Any]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        server = await self._loop.create_server(
            lambda: Listener(self._model_ready, self._asked), "127.0.0.1", 0, ssl=context
        )
        return {"port": server.sockets[0].getsockname()[1]}

    def _asked(self) -> None:
        self.summaries += 1


if __name__ == "__main__":
    uvloop.run(far_end.serve(FarEnd))

"""The simulated text model: an HTTPS server on loopback, and what it was asked.

async with LiveTwin() as live, TextModelTwin(authority=live.authority) as text:
    ...  # SSL_CERT_FILE=live.ca_file trusts both
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import tempfile
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import orjson
import trustme
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from workers.twin.text_model.answer import answer
from workers.twin.text_model.behaviour import OK, Behaviour, Kind, read_recipe
from workers.twin.text_model.errors import ApiError, no_key, of_status, wrong_key
from workers.twin.text_model.request import PATH, Question, read_question

START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 5.0
# As long as Google's front ends keep an idle connection, about: the client closes it first.
_KEEP_ALIVE_S = 240
_JSON = "application/json; charset=UTF-8"


@dataclass(slots=True)
class Asked:
    """One request that got as far as the model, and what became of it."""

    number: int
    at: float
    """When it came in; seconds of the twin's clock."""
    question: Question
    behaviour: Behaviour
    at_once: int
    """How many requests were being answered then, this one included."""
    headers: dict[str, str]
    answered_at: float | None = None
    status: int | None = None
    text: str = ""
    """What the model wrote."""
    client_left: bool = False
    """The client closed the connection before there was an answer."""

    @property
    def prompt(self) -> str:
        """The text that was asked."""
        return self.question.prompt


class TextModelTwin:
    """A text model of one's own, for as long as the ``async with`` block runs.

    Args:
        recipe: How it behaves, such as ``error(503), ok``; see ``behaviour``. The last step counts
            for every further request.
        api_key: The key, or bearer token, that is let in.
        authority: Certifies the server; None for an authority of its own.
        clock: Time in seconds; what ``at`` in the log means. It must run in real time.
        host: Address to listen on.
        port: Port to listen on; 0 takes a free one.
    """

    def __init__(
        self,
        recipe: str = "ok",
        *,
        api_key: str = "test-key",
        authority: trustme.CA | None = None,
        clock: Callable[[], float] = time.monotonic,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self._steps = list(read_recipe(recipe))
        self._api_key = api_key
        self._authority = authority or trustme.CA()
        self._clock = clock
        self._address = (host, port)
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()
        self._at_once = 0
        self.asked: list[Asked] = []
        """Every request that got as far as the model, in order."""
        self.refusals: list[tuple[int, str]] = []
        """Requests that did not: HTTP status and path."""
        self.most_at_once = 0
        """How many requests were being answered at the same time, at most."""
        self.base_url = ""
        self.ca_file = ""

    async def __aenter__(self) -> TextModelTwin:
        self._folder = tempfile.TemporaryDirectory(prefix="text-model-twin-")
        ca_file = Path(self._folder.name) / "ca.pem"
        self._authority.cert_pem.write_to_path(str(ca_file))
        self.ca_file = str(ca_file)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        host = self._address[0]
        self._authority.issue_cert("127.0.0.1", "localhost", host).configure_cert(context)
        # With the protocol named, or asyncio leaves Nagle's algorithm on and answers wait 40 ms.
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(self._address)
        self.base_url = f"https://{host}:{listener.getsockname()[1]}"
        app = Starlette(routes=[Route("/{path:path}", self._answer, methods=["GET", "POST"])])
        self._server = _Server(
            uvicorn.Config(
                app,
                ssl_context_factory=lambda _config, _usual: context,
                log_config=None,
                access_log=False,
                lifespan="off",
                ws="none",
                timeout_keep_alive=_KEEP_ALIVE_S,
                timeout_graceful_shutdown=1,
            )
        )
        serving = self._server.serve(sockets=[listener])
        self._serving = asyncio.create_task(serving, name="text model twin")
        async with asyncio.timeout(START_TIMEOUT_S):
            while not self._server.started:
                if self._serving.done():
                    self._serving.result()
                await asyncio.sleep(0.005)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server is not None
        assert self._serving is not None
        assert self._folder is not None
        self._closing.set()
        self._server.should_exit = True
        try:
            await asyncio.wait({self._serving}, timeout=STOP_TIMEOUT_S)
            self._serving.cancel()
            await asyncio.gather(self._serving, return_exceptions=True)
        finally:
            self._folder.cleanup()

    @property
    def at_once(self) -> int:
        """How many requests are being answered now."""
        return self._at_once

    def behave(self, recipe: str) -> None:
        """Begin another recipe with the next request."""
        self._steps = list(read_recipe(recipe))

    def client_ssl(self) -> ssl.SSLContext:
        """Return a client's context that trusts this server."""
        return ssl.create_default_context(cafile=self.ca_file)

    async def until(self, condition: Callable[[], object], *, timeout_s: float = 10.0) -> None:
        """Wait until ``condition`` holds, looking every 10 ms.

        Raises:
            TimeoutError: It did not, in time.
        """
        async with asyncio.timeout(timeout_s):
            while not condition():  # noqa: ASYNC110  (logs are plain data, they signal nothing)
                await asyncio.sleep(0.01)

    # -- the server's side ---------------------------------------------------------------------

    async def _answer(self, request: Request) -> Response:
        path = request.url.path
        match = PATH.fullmatch(path)
        if match is None or request.method != "POST":
            self.refusals.append((404, path))
            return HTMLResponse("<!DOCTYPE html><title>Error 404 (Not Found)!!1</title>", 404)
        body = await request.body()
        try:
            self._admit(request, vertex=(match["publisher"] or "").startswith("projects/"))
            question = read_question(path, body)
        except ApiError as error:
            self.refusals.append((error.status, path))
            return _json(error.status, error.envelope)
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            return await self._generate(request, question)
        finally:
            self._at_once -= 1

    def _admit(self, request: Request, *, vertex: bool) -> None:
        """Look at the key; Vertex takes a bearer token where a project is named."""
        if vertex:
            scheme, _, token = request.headers.get("authorization", "").partition(" ")
            if scheme != "Bearer" or token.strip() != self._api_key:
                raise ApiError(401)
            return
        key = request.headers.get("x-goog-api-key") or request.query_params.get("key")
        if not key:
            raise no_key()
        if key != self._api_key:
            raise wrong_key()

    async def _generate(self, request: Request, question: Question) -> Response:
        behaviour = self._steps[0] if self._steps else OK
        if len(self._steps) > 1:
            del self._steps[0]
        asked = Asked(
            number=len(self.asked) + 1,
            at=self._clock(),
            question=question,
            behaviour=behaviour,
            at_once=self._at_once,
            headers=dict(request.headers),
        )
        self.asked.append(asked)
        if behaviour.kind in (Kind.HANG, Kind.SLOW):
            seconds = behaviour.number if behaviour.kind is Kind.SLOW else None
            if not await self._stays(request, seconds):
                asked.client_left = not self._closing.is_set()
                return Response(status_code=499)
        if behaviour.kind is Kind.ERROR:
            error = of_status(int(behaviour.number), question.model)
            response = _json(error.status, error.envelope)
        else:
            found = answer(question, behaviour.kind, number=asked.number)
            asked.text = _written(found)
            response = _json(200, found)
        asked.status, asked.answered_at = response.status_code, self._clock()
        return response

    async def _stays(self, request: Request, seconds: float | None) -> bool:
        """Wait; false as soon as the client has left, or the twin closes."""
        # Once the body is read, all that can still come from a client is that it leaves.
        ends = {
            asyncio.ensure_future(request.receive()),
            asyncio.ensure_future(self._closing.wait()),
        }
        try:
            done, _ = await asyncio.wait(ends, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            return not done
        finally:
            for end in ends:
                end.cancel()


def _json(status: int, value: dict[str, Any]) -> Response:
    return Response(orjson.dumps(value), status, media_type=_JSON)


def _written(found: dict[str, Any]) -> str:
    candidates = found.get("candidates", [])
    parts = candidates[0]["content"].get("parts", []) if candidates else []
    return "".join(part["text"] for part in parts)


class _Server(uvicorn.Server):
    """uvicorn inside somebody else's process: it leaves the signals alone."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield

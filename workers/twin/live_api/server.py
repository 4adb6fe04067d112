"""The simulated Live API: a TLS WebSocket server on loopback, and what it saw.

async with LiveTwin(script) as live:
    client = genai.Client(
        api_key="test-key",
        http_options={
            "base_url": live.base_url,
            "async_client_args": {"ssl": live.client_ssl()},
        },
    )
"""

from __future__ import annotations

import asyncio
import http
import logging
import math
import ssl
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import cast
from urllib.parse import parse_qs

import trustme
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response

from workers.twin.live_api.connection import Connection
from workers.twin.live_api.fault_plan import FaultPlan
from workers.twin.live_api.faults import Fault
from workers.twin.live_api.handles import HandleBook
from workers.twin.live_api.profiles import DEVELOPER_PATH, VERTEX_PATH, profile_named
from workers.twin.live_api.script import LiveScript, ScriptSource
from workers.twin.live_api.session import Session, Surroundings
from workers.twin.live_api.session_log import Keep, SessionLog
from workers.twin.live_api.understanding import Understanding
from workers.twin.live_api.usage import RATES, Rates
from workers.twin.live_api.wire import encode

_CLOSE_TIMEOUT_S = 1.0
_STOP_TIMEOUT_S = 10.0

_logger = logging.getLogger(__name__)


class LiveTwin:
    """A Live API of one's own, for as long as the ``async with`` block runs."""

    def __init__(
        self,
        script: ScriptSource | None = None,
        *,
        profile: str | None = None,
        api_key: str = "test-key",
        faults: Iterable[Fault] = (),
        speed: float | None = None,
        setup_delay_s: float = 0.05,
        resume_delay_s: float | None = None,
        time_scale: float = 1.0,
        seed: int = 0,
        bad_key_closes: bool = False,
        turn_complete_after_interrupted: bool = True,
        window_tokens: int | None = None,
        caller_tokens_per_s: float = RATES.caller_per_s,
        model_tokens_per_s: float = RATES.model_per_s,
        keep: Keep | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare a server.

        Args:
            script: What the model hears and says, or a function of session number and setup.
            profile: Serve the models of this profile alone; None serves every known model, as the
                real server does, and takes the profile from the setup's model.
            api_key: The key, bearer token or ephemeral token that is let in.
            faults: What goes wrong.
            speed: Production speed in place of the script's.
            setup_delay_s: From the setup message to ``setupComplete``.
            resume_delay_s: The same where the setup names a handle; None for no difference.
            time_scale: How much faster than real the server's own deadlines come: divides
                ``time_left_s`` of ``goAway``, also as it is told, and ``after_s`` of every fault.
            seed: Chooses everything random but the handles.
            bad_key_closes: Close with 1008 for a bad key, instead of HTTP 403 at the upgrade.
            turn_complete_after_interrupted: Reports differ on whether the real server sends it.
            window_tokens: What the context of every model holds; None for what it really does.
            caller_tokens_per_s: What a second of the caller's speech costs.
            model_tokens_per_s: What a second of the model's audio costs.
            keep: How much the session logs keep.
            host: Address to listen on.
            port: Port to listen on; 0 takes a free one.
            clock: Time in seconds; what ``at`` in the logs means. It must run in real time.
        """
        self._api_key = api_key
        self._time_scale = time_scale
        self._faults = tuple(faults)
        self._bad_key_closes = bad_key_closes
        self._keep = keep or Keep()
        self._host = host
        self._port = port
        self._clock = clock
        self._surroundings = Surroundings(
            script=script if script is not None else LiveScript(),
            only=None if profile is None else profile_named(profile),
            speed=speed,
            setup_delay_s=setup_delay_s,
            resume_delay_s=setup_delay_s if resume_delay_s is None else resume_delay_s,
            time_scale=time_scale,
            seed=seed,
            turn_complete_after_interrupted=turn_complete_after_interrupted,
            handles=HandleBook(),
            understanding=Understanding(),
            is_open=self._is_open,
            clock=clock,
            rates=Rates(caller_tokens_per_s, model_tokens_per_s),
            window_tokens=window_tokens,
        )
        self._server: Server | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._authority = trustme.CA()
        self._failures: list[Exception] = []
        self._attempts = 0
        # Connections that count as open, and until when; infinity while they are.
        self._open_until: dict[int, float] = {}
        self.sessions: list[SessionLog] = []
        """Every connection that was upgraded, in order."""
        self.refusals: list[tuple[int, str]] = []
        """Upgrades that were refused: HTTP status and path without the query."""
        self.base_url = ""
        self.ca_file = ""

    async def __aenter__(self) -> LiveTwin:
        self._folder = tempfile.TemporaryDirectory(prefix="live-twin-")
        ca_file = Path(self._folder.name) / "ca.pem"
        self._authority.cert_pem.write_to_path(str(ca_file))
        self.ca_file = str(ca_file)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._authority.issue_cert("127.0.0.1", "localhost", self._host).configure_cert(context)
        self._server = await serve(
            self._handle,
            self._host,
            self._port,
            process_request=self._admit,
            # The library knows nothing of TLS here: see ``tls``.
            create_connection=cast("type[Connection]", partial(Connection, context=context)),
            compression=None,
            # The real server is not known to ping; it never limited what clients send.
            ping_interval=None,
            max_size=None,
            close_timeout=_CLOSE_TIMEOUT_S,
            logger=_logger,
        )
        port = next(iter(self._server.sockets)).getsockname()[1]
        self.base_url = f"https://{self._host}:{port}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server is not None
        assert self._folder is not None
        self._server.close()
        try:
            async with asyncio.timeout(_STOP_TIMEOUT_S):
                await self._server.wait_closed()
        finally:
            self._folder.cleanup()
        if self._failures and error is None:
            raise ExceptionGroup("the simulated server failed", self._failures)

    @property
    def open_sessions(self) -> list[SessionLog]:
        """The connections that are up."""
        return [log for log in self.sessions if log.open]

    @property
    def authority(self) -> trustme.CA:
        """Who issued the server's certificate; another server it certifies is trusted as well."""
        return self._authority

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

    def forget(self, logs: Iterable[SessionLog]) -> None:
        """Keep nothing more of these connections, where they are closed: logs and handles."""
        gone = {log.number for log in logs if not log.open}
        self.sessions[:] = [log for log in self.sessions if log.number not in gone]
        self._surroundings.handles.forget(gone)

    # -- the server's side ---------------------------------------------------------------------

    def _admit(self, socket: ServerConnection, request: Request) -> Response | None:
        """Refuse the upgrade, or note on the connection what its session will need."""
        assert isinstance(socket, Connection)
        path, _, query = request.path.partition("?")
        vertex = VERTEX_PATH.fullmatch(path) is not None
        key_fits = self._key(request, query) == self._api_key
        if not vertex and DEVELOPER_PATH.fullmatch(path) is None:
            return self._refuse(socket, http.HTTPStatus.NOT_FOUND, path, "Not found")
        if not key_fits and not self._bad_key_closes:
            return self._refuse(socket, http.HTTPStatus.FORBIDDEN, path, "API key not valid.")
        self._attempts += 1
        plan = FaultPlan(self._faults, self._attempts, time_scale=self._time_scale)
        if plan.refusal is not None:
            return self._refuse(socket, http.HTTPStatus(plan.refusal), path, "Try again later.")
        socket.number, socket.plan = self._attempts, plan
        socket.path, socket.vertex, socket.key_fits = path, vertex, key_fits
        return None

    def _key(self, request: Request, query: str) -> str:
        fields = parse_qs(query)
        for name in ("key", "access_token"):
            if name in fields:
                return fields[name][0]
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme in {"Bearer", "Token"}:
            return token.strip()
        return request.headers.get("x-goog-api-key", "")

    def _refuse(
        self, socket: ServerConnection, status: http.HTTPStatus, path: str, message: str
    ) -> Response:
        self.refusals.append((int(status), path))
        body = {"error": {"code": int(status), "message": message, "status": status.name}}
        response = socket.respond(status, encode(body).decode())
        del response.headers["Content-Type"]
        response.headers["Content-Type"] = "application/json; charset=UTF-8"
        return response

    def _is_open(self, number: int) -> bool:
        return self._open_until.get(number, 0.0) > self._clock()

    async def _handle(self, socket: ServerConnection) -> None:
        assert isinstance(socket, Connection)
        assert socket.request is not None
        log = SessionLog(
            number=socket.number,
            path=socket.path,
            headers={name.lower(): value for name, value in socket.request.headers.raw_items()},
            opened_at=self._clock(),
            keep=self._keep,
        )
        self.sessions.append(log)
        self._open_until[log.number] = math.inf
        session = Session(socket, log, self._surroundings)
        try:
            if socket.key_fits:
                await session.run()
            else:
                await socket.close(1008, "API key not valid. Please pass a valid API key.")
        except Exception as error:  # noqa: BLE001  (the edge of a task: told when the server stops)
            self._failures.append(error)
        finally:
            log.close_code = socket.close_code
            log.close_reason = socket.close_reason or ""
            log.closed_by = "client" if socket.protocol.close_rcvd_then_sent else "server"
            log.closed_at = self._clock()
            del self._open_until[log.number]
            if socket.plan.lingers_s:
                self._open_until[log.number] = log.closed_at + socket.plan.lingers_s

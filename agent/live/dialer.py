"""Opens Live connections: one SDK client per process, one dial per connection."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from typing import Protocol

import google.auth
import google.auth.transport.requests
from google import genai
from google.auth.credentials import Credentials
from google.genai import types

from agent.context.seed import SeedTurn
from agent.conversation.prompt import Opening
from agent.errors import LiveConnectRefused
from agent.events import SetupCompleted
from agent.live.config import build_config
from agent.live.connection import CLOSE_TIMEOUT_S, Connection, open_connection
from agent.live.models import SeedPath, profile_for
from agent.live.refusal import explain
from agent.live.settings import LiveSettings
from agent.live.websocket import LiveSocket
from agent.spec import AgentSpec

# 64 s of audio in one frame; the SDK's default of 1 MiB would close the connection on 16 s.
MAX_FRAME_BYTES = 4 * 1024 * 1024
# The SDK's default for 2.x, named because 3.x moves to v1 and all experience is with v1beta.
_API_VERSION = "v1beta"
_SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)


class Dialer(Protocol):
    """What a session needs in order to get a connection."""

    @property
    def vertexai(self) -> bool:
        """Whether connections go to Vertex, whose models differ a little."""

    async def connect(
        self,
        spec: AgentSpec,
        opening: Opening,
        declarations: Sequence[types.FunctionDeclaration] = (),
        *,
        handle: str | None = None,
        history: Sequence[SeedTurn] = (),
        timeout_s: float | None = None,
    ) -> Connection:
        """Dial and complete the setup; raises ``LiveError``."""


class LiveDialer:
    """Dials the Live API with the SDK.

    The client is built by the first dial, in a thread: it loads certificates and, on Vertex,
    credentials, which block for tens of milliseconds and more.
    """

    def __init__(self, settings: LiveSettings) -> None:
        self._settings = settings
        self._client: genai.Client | None = None
        self._credentials: Credentials | None = None
        self._building = asyncio.Lock()

    @property
    def vertexai(self) -> bool:
        """Whether connections go to Vertex."""
        return self._settings.vertexai

    def check(self) -> None:
        """Find out what can be found out without dialling.

        Raises:
            LiveConnectRefused: names the setting.
        """
        settings = self._settings
        if settings.base_url and not settings.base_url.startswith("https://"):
            name = "GOOGLE_VERTEX_BASE_URL" if settings.vertexai else "GOOGLE_GEMINI_BASE_URL"
            raise LiveConnectRefused(name, "must begin with https://")
        if settings.ca_file is not None:
            self._trust(settings.ca_file)
        if settings.vertexai:
            if not settings.api_key and not settings.project:
                raise LiveConnectRefused("GOOGLE_CLOUD_PROJECT", "is not set")
        elif not settings.api_key:
            raise LiveConnectRefused("GOOGLE_API_KEY", "is not set")

    async def connect(
        self,
        spec: AgentSpec,
        opening: Opening,
        declarations: Sequence[types.FunctionDeclaration] = (),
        *,
        handle: str | None = None,
        history: Sequence[SeedTurn] = (),
        timeout_s: float | None = None,
    ) -> Connection:
        """Dial and wait for the setup to be complete.

        Args:
            spec: The agent.
            opening: Brings the system instruction.
            declarations: Its functions.
            handle: Resume the session that issued it; its socket must be closed.
            history: What a fresh session is told of the conversation so far, where its model takes
                that in messages.
            timeout_s: Bound on dialling and setup, where it is less than the agent's.

        Raises:
            LiveConnectRefused: another try would meet the same; it names the setting.
            LiveConnectFailed: it may pass.
        """
        bounds = [self._settings.connect_timeout_s, spec.limits.connect_timeout_s]
        if timeout_s is not None:
            bounds.append(timeout_s)
        try:
            async with asyncio.timeout(min(bounds)):
                return await self._dial(spec, opening, declarations, handle, history)
        except Exception as error:  # the SDK raises whatever its libraries raise
            raise explain(error, settings=self._settings, spec=spec) from error

    async def _dial(
        self,
        spec: AgentSpec,
        opening: Opening,
        declarations: Sequence[types.FunctionDeclaration],
        handle: str | None,
        history: Sequence[SeedTurn],
    ) -> Connection:
        profile = profile_for(spec.model, vertexai=self.vertexai)
        config = build_config(
            spec,
            profile=profile,
            system_instruction=opening.system_instruction,
            declarations=declarations,
            handle=handle,
            history_follows=bool(history) and profile.seed is SeedPath.INITIAL_HISTORY,
        )
        client = await self._ready_client()
        context = client.aio.live.connect(model=spec.model, config=config)
        session = await context.__aenter__()
        connection = open_connection(session, context, profile=profile, vertexai=self.vertexai)
        try:
            # The SDK takes whatever comes first for the answer to the setup.
            complete = session.setup_complete is not None
            while not complete:
                found = await connection.receive()
                complete = any(isinstance(event, SetupCompleted) for event in found)
            if history:
                await connection.send_history(history)
        except BaseException:
            await connection.close()
            raise
        return connection

    async def _ready_client(self) -> genai.Client:
        async with self._building:
            if self._client is None:
                self._client = await asyncio.to_thread(self._build_client)
            if self._credentials is not None and not self._credentials.valid:
                # The SDK would do this on the event loop (2.34).
                request = google.auth.transport.requests.Request()
                await asyncio.to_thread(self._credentials.refresh, request)
            return self._client

    def _build_client(self) -> genai.Client:
        self.check()
        settings = self._settings
        if settings.vertexai and not settings.api_key:
            self._credentials, _ = google.auth.default(scopes=_SCOPES)
        # What connect() of websockets takes; the SDK hands it on.
        socket_args: dict[str, object] = {
            # The server answers pings 8-30 s late (observed); the watchdog notices a dead peer.
            "ping_interval": None,
            "create_connection": LiveSocket,
            "compression": None,
            "max_size": MAX_FRAME_BYTES,
            "open_timeout": settings.connect_timeout_s,
            "close_timeout": CLOSE_TIMEOUT_S,
        }
        if settings.ca_file is not None:
            socket_args["ssl"] = self._trust(settings.ca_file)
        return genai.Client(
            vertexai=settings.vertexai,
            api_key=settings.api_key or None,
            credentials=self._credentials,
            project=settings.project if settings.vertexai else None,
            location=settings.location if settings.vertexai else None,
            http_options=types.HttpOptions(
                base_url=settings.base_url,
                api_version=None if settings.vertexai else _API_VERSION,
                async_client_args=socket_args,
            ),
        )

    @staticmethod
    def _trust(ca_file: str) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(cafile=ca_file)
        except OSError as error:
            raise LiveConnectRefused(
                "SSL_CERT_FILE", f"{ca_file} cannot be used: {error}"
            ) from error

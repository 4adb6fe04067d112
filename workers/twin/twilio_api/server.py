"""The twin itself: one Twilio account on loopback, with its REST API and its calls."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import ssl
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Generator, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Self

import uvicorn

from workers.twin.caller import CallerScript
from workers.twin.twilio_api import rest, states
from workers.twin.twilio_api.call import TwinCall
from workers.twin.twilio_api.callee import CalleeBehaviour
from workers.twin.twilio_api.delivery import Deliverer
from workers.twin.twilio_api.desk import Desk
from workers.twin.twilio_api.line import CallFaults
from workers.twin.twilio_api.media.stream import MediaStream, MediaTap
from workers.twin.twilio_api.order import CallOrder, StatusCallback
from workers.twin.twilio_api.program import Fetch
from workers.twin.twilio_api.resources import CallFacts, PhoneNumber
from workers.twin.twilio_api.rest_faults import RestFault

DEMO_ACCOUNT_SID = "AC" + "0123456789abcdef" * 2
DEMO_AUTH_TOKEN = "twin-auth-token"  # noqa: S105 - opens nothing but the twin

# What REST still shows of calls that are over, and the calls whose audio a test may still ask for.
REMEMBERED_CALLS = 10_000
FINISHED_CALLS = 16
START_TIMEOUT_S = 10.0


class TwilioTwin:
    """Use as an async context manager; on exit every call ends and nothing is left.

    Args:
        account_sid: ``AC`` and 32 hexadecimal digits.
        auth_token: signs webhooks and opens the REST API.
        numbers: the account's phone numbers; if there are any, only they may be dialled from.
        ca_file: the authority of the worker's certificate, where it is not a public one.
        api_keys: further user names and passwords of the REST API.
        clock: seconds; the playout and everything else counts by it.
        keep_alive: whether a connection serves several webhooks. Off where several workers share a
            port, of which the connection is to one.
    """

    def __init__(
        self,
        account_sid: str = DEMO_ACCOUNT_SID,
        auth_token: str = DEMO_AUTH_TOKEN,
        *,
        numbers: Iterable[str] = (),
        ca_file: Path | str | None = None,
        api_keys: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.monotonic,
        keep_alive: bool = True,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.account_sid = account_sid
        self.auth_token = auth_token
        self.on_dial: Callable[[str], CalleeBehaviour] = lambda _: CalleeBehaviour()
        self.on_rest: Callable[[str, str], RestFault | None] = lambda _method, _path: None
        """Says what goes wrong with a request to the REST API, by its method and path."""
        self.faults = CallFaults()
        """What goes wrong in calls that are placed from now on and name no faults of their own."""
        self._numbers = {number: PhoneNumber(account_sid, number) for number in numbers}
        self._passwords = {account_sid: auth_token, **(api_keys or {})}
        self._facts: OrderedDict[str, CallFacts] = OrderedDict()
        self._live: dict[str, TwinCall] = {}
        self._finished: deque[TwinCall] = deque(maxlen=FINISHED_CALLS)
        self._clock = clock
        self._keep_alive = keep_alive
        self._ca_file = ca_file
        self._address = (host, port)
        self._open_desk: Desk | None = None
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None
        self.base_url = ""

    async def __aenter__(self) -> Self:
        """Start the REST API; ``base_url`` is where."""
        tls = ssl.create_default_context(cafile=self._ca_file) if self._ca_file else None
        self._open_desk = Desk(
            account_sid=self.account_sid,
            auth_token=self.auth_token,
            deliverer=Deliverer(
                self.auth_token, tls=tls, clock=self._clock, keep_alive=self._keep_alive
            ),
            tls=tls,
            on_dial=lambda to: self.on_dial(to),
            record=self._record,
            owns=lambda number: not self._numbers or number in self._numbers,
            clock=self._clock,
        )
        # With the protocol named, or asyncio leaves Nagle's algorithm on and answers wait 40 ms.
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(self._address)
        host, port = listener.getsockname()[:2]
        self.base_url = f"http://{host}:{port}"
        self._server = _Server(
            uvicorn.Config(
                rest.create_app(self),
                log_config=None,
                access_log=False,
                lifespan="off",
                ws="none",
                timeout_graceful_shutdown=1,
            )
        )
        self._serving = asyncio.create_task(self._server.serve(sockets=[listener]), name="rest")
        async with asyncio.timeout(START_TIMEOUT_S):
            while not self._server.started:
                if self._serving.done():
                    self._serving.result()
                await asyncio.sleep(0.005)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """End every call, then the REST API."""
        if self._open_desk is not None:
            await self._open_desk.close()
        if self._server is not None and self._serving is not None:
            self._server.should_exit = True
            await asyncio.wait({self._serving}, timeout=5)
            self._serving.cancel()
            await asyncio.gather(self._serving, return_exceptions=True)

    @property
    def numbers(self) -> Mapping[str, PhoneNumber]:
        """The account's phone numbers; their attributes may be changed."""
        return MappingProxyType(self._numbers)

    @property
    def facts(self) -> Mapping[str, CallFacts]:
        """What REST knows of calls, dialled legs included, oldest first."""
        return MappingProxyType(self._facts)

    @property
    def live_calls(self) -> Mapping[str, TwinCall]:
        """The calls that are not over, by SID."""
        return MappingProxyType(self._live)

    @property
    def live_sockets(self) -> frozenset[MediaStream]:
        """The media sockets that are open."""
        return frozenset(stream for stream in self._desk.streams if stream.is_connected)

    @property
    def half_open_sockets(self) -> frozenset[MediaStream]:
        """The media sockets that are over for Twilio, and that no server has closed as yet."""
        return frozenset(stream for stream in self._desk.half_open if stream.is_half_open)

    def find_call(self, call_sid: str) -> TwinCall:
        """Give a live call, or one of the last that ended.

        Raises:
            KeyError: there is none.
        """
        if call_sid in self._live:
            return self._live[call_sid]
        for call in self._finished:
            if call.sid == call_sid:
                return call
        raise KeyError(call_sid)

    async def place_inbound_call(
        self,
        voice_url: str = "",
        *,
        caller: CallerScript | None = None,
        from_: str = "+15550100001",
        to: str = "+15550100002",
        status_url: str | None = None,
        fallback_url: str = "",
        max_call_s: float = 600.0,
        faults: CallFaults | None = None,
        tap: MediaTap | None = None,
    ) -> TwinCall:
        """Let somebody call; without ``voice_url`` the number's own configuration counts.

        A number's status callback fires at the end alone (Twilio reference, 5.1).
        """
        number = self._numbers.get(to, PhoneNumber(self.account_sid, to))
        status = status_url if status_url is not None else number.status_callback
        order = CallOrder(
            first=Fetch(voice_url or number.voice_url, number.voice_method),
            fallback_url=fallback_url or number.voice_fallback_url,
            status_callback=StatusCallback(status, number.status_callback_method),
            time_limit_s=max_call_s,
        )
        facts = self._new_facts(from_, to, "inbound", states.RINGING)
        script = caller or CallerScript()
        return self._start(
            TwinCall(self._desk, facts, order, script=script, faults=faults or self.faults, tap=tap)
        )

    def place_outbound_call(self, to: str, from_: str, order: CallOrder) -> TwinCall:
        """Dial a number, as ``POST /Calls.json`` does; ``on_dial`` says who answers."""
        callee = self.on_dial(to)
        facts = self._new_facts(from_, to, "outbound-api", states.QUEUED)
        return self._start(
            TwinCall(
                self._desk,
                facts,
                order,
                script=callee.script,
                callee=callee,
                faults=self.faults,
            )
        )

    def accepts(self, user: str, password: str) -> bool:
        """Say whether these are the account's credentials."""
        known = self._passwords.get(user)
        return known is not None and secrets.compare_digest(known.encode(), password.encode())

    def forget(self, call_sid: str) -> None:
        """Delete what is remembered of a call."""
        self._facts.pop(call_sid, None)

    @property
    def _desk(self) -> Desk:
        if self._open_desk is None:
            raise RuntimeError("the twin is not open: use `async with`")
        return self._open_desk

    def _new_facts(self, from_: str, to: str, direction: str, state: str) -> CallFacts:
        return CallFacts(
            account_sid=self.account_sid,
            from_=from_,
            to=to,
            direction=direction,
            created_at=self._desk.wall(),
            state=state,
        )

    def _start(self, call: TwinCall) -> TwinCall:
        self._live[call.sid] = call

        async def run() -> None:
            try:
                await call.run()
            finally:
                self._live.pop(call.sid, None)
                self._finished.append(call)

        self._desk.spawn(run(), f"call {call.sid}")
        return call

    def _record(self, facts: CallFacts) -> None:
        self._facts[facts.sid] = facts
        while len(self._facts) > REMEMBERED_CALLS:
            self._facts.popitem(last=False)


class _Server(uvicorn.Server):
    """uvicorn inside somebody else's process: it leaves the signals alone."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield

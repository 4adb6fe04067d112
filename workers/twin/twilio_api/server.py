"""The twin itself: one Twilio account on loopback, with its REST API and its calls."""

from __future__ import annotations

import secrets
import ssl
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Self

from workers.twin.caller import CallerScript
from workers.twin.twilio_api import rest, states
from workers.twin.twilio_api.call import TwinCall
from workers.twin.twilio_api.call_queue import CallQueue, QueueFull
from workers.twin.twilio_api.callee import CalleeBehaviour
from workers.twin.twilio_api.checks import RestRefused
from workers.twin.twilio_api.delivery import Deliverer
from workers.twin.twilio_api.desk import Desk
from workers.twin.twilio_api.ledger import Ledger, LedgerEntry
from workers.twin.twilio_api.line import CallFaults
from workers.twin.twilio_api.media.stream import MediaStream, MediaTap
from workers.twin.twilio_api.order import CallOrder, StatusCallback
from workers.twin.twilio_api.program import Fetch
from workers.twin.twilio_api.resources import CallFacts, PhoneNumber
from workers.twin.twilio_api.rest_faults import RestFault
from workers.twin.twilio_api.rest_server import RestServer

DEMO_ACCOUNT_SID = "AC" + "0123456789abcdef" * 2
DEMO_AUTH_TOKEN = "twin-auth-token"  # noqa: S105 - opens nothing but the twin

# What REST still shows of calls that are over, and the calls whose audio a test may still ask for.
REMEMBERED_CALLS = 10_000
FINISHED_CALLS = 16


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
        calls_per_second: how many calls of the REST API are dialled in a second, on average; the
            others are queued. None: no queue.
        most_calls: how many calls there may be at once, queued ones left out, before an order is
            refused with 10004.
        most_requests: how many REST requests may be served at once before others are refused with
            20429.
        remembered_calls: how many calls REST knows, dialled legs included.
        speed: how fast rings, talk (``WaitSeconds``), verdicts, queue and limits pass; audio does
            not, nor do the faults of requests and callbacks.
        wall: the wall clock, in POSIX seconds, which all dates are taken from; where ``speed`` is
            not 1 it is to be as fast.
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
        keep_marks: bool = True,
        calls_per_second: float | None = None,
        most_calls: int | None = None,
        most_requests: int | None = None,
        remembered_calls: int = REMEMBERED_CALLS,
        speed: float = 1.0,
        wall: Callable[[], float] = time.time,
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
        self._keep_marks = keep_marks
        self._ca_file = ca_file
        self._queue = CallQueue(calls_per_second, speed=speed, clock=clock)
        self._most_calls = most_calls
        self.most_requests = most_requests
        self._remembered_calls = remembered_calls
        self._speed = speed
        self._wall = wall
        self._rest = RestServer(host, port)
        self.ledger = Ledger()
        """Every call that REST was asked for and that was made; kept for the twin's life."""
        self._open_desk: Desk | None = None
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
            posix=self._wall,
            speed=self._speed,
            keep_marks=self._keep_marks,
            ledger=self.ledger,
        )
        self.base_url = await self._rest.start(rest.create_app(self))
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """End every call, then the REST API."""
        if self._open_desk is not None:
            await self._open_desk.close()
        await self._rest.stop()

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
        """Dial a number, as ``POST /Calls.json`` does; ``on_dial`` says who answers.

        Raises:
            RestRefused: too many calls are live or queued, or the number cannot be dialled.
        """
        live = len(self._live) - len(self._queue)
        if self._most_calls is not None and live >= self._most_calls:
            raise RestRefused(10004)
        callee = self.on_dial(to)
        if callee.refusal:
            raise RestRefused(callee.refusal, to)
        try:
            turn, queue_time_ms = self._queue.join()
        except QueueFull as error:
            raise RestRefused(22005) from error
        facts = self._new_facts(from_, to, "outbound-api", states.QUEUED)
        facts.queue_time_ms = queue_time_ms
        url = order.status_callback.url if order.status_callback else ""
        asked_at = facts.created_at.timestamp()
        self.ledger.open(LedgerEntry(facts.sid, to, from_, url, asked_at))
        return self._start(
            TwinCall(
                self._desk,
                facts,
                order,
                script=callee.script,
                callee=callee,
                turn=turn,
                faults=self.faults,
            )
        )

    def accepts(self, user: str, password: str) -> bool:
        """Say whether these are the account's credentials."""
        known = self._passwords.get(user)
        return known is not None and secrets.compare_digest(known.encode(), password.encode())

    def break_off(self, peer: tuple[str, int]) -> None:
        """Break off the connection of a REST client."""
        self._rest.break_off(peer)

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
        while len(self._facts) > self._remembered_calls:
            self._facts.popitem(last=False)

"""A worker's web app over fakes, and a Twilio that signs what it sends by its own code."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass, field
from urllib.parse import urlencode
from xml.etree import ElementTree as ET

import httpx
from starlette.types import ASGIApp

from agent.spec import AgentSpec
from telephony.media_stream.handshake import StartedStream
from telephony.media_stream.ports import MediaSocket
from telephony.media_stream.ticket import TicketBook
from telephony.settings import TwilioSettings
from tests.fakes.briefs import MemoryBriefs
from tests.fakes.store import MemoryCallStore
from workers.call.active import ActiveCalls
from workers.call.agents import Agents, loaded_agent
from workers.call.campaign_calls import CampaignCalls
from workers.call.entry import CallEntry
from workers.call.takeover import Takeover
from workers.entrypoints.asgi import create_app
from workers.entrypoints.services import RunCall, Services
from workers.metrics import Metrics

TOKEN = "token-of-the-account"
ACCOUNT = "AC" + "0" * 32
CALL = "CA" + "1" * 32
STREAM = "MZ" + "2" * 32
SORRY = "We are sorry."
BAKERY = AgentSpec("bakery", "You are a baker.", apology=SORRY)


def sign(url: str, fields: list[tuple[str, str]] | None = None, token: str = TOKEN) -> str:
    text = url + "".join(name + value for name, value in sorted(set(fields or [])))
    return base64.b64encode(hmac.new(token.encode(), text.encode(), hashlib.sha1).digest()).decode()


def start_message(ticket: str | None, *, call_sid: str = CALL, account_sid: str = ACCOUNT) -> str:
    return json.dumps(
        {
            "event": "start",
            "sequenceNumber": "1",
            "streamSid": STREAM,
            "start": {
                "accountSid": account_sid,
                "streamSid": STREAM,
                "callSid": call_sid,
                "tracks": ["inbound"],
                "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
                "customParameters": {} if ticket is None else {"ticket": ticket},
            },
        }
    )


CONNECTED = json.dumps({"event": "connected", "protocol": "Call", "version": "1.0.0"})


@dataclass
class Served:
    """What the pipeline was asked to serve."""

    entries: list[CallEntry] = field(default_factory=list)

    async def __call__(self, entry: CallEntry, socket: MediaSocket, started: StartedStream) -> None:
        self.entries.append(entry)


@dataclass
class FakeRest:
    """Twilio's REST API, as far as it acts on calls."""

    asked: list[tuple[str, ...]] = field(default_factory=list)
    error: Exception | None = None

    async def hang_up(self, call_sid: str) -> None:
        self._ask("hang_up", call_sid)

    async def redirect(self, call_sid: str, document: str) -> None:
        self._ask("redirect", call_sid, document)

    def _ask(self, *what: str) -> None:
        self.asked.append(what)
        if self.error is not None:
            raise self.error


class App:
    def __init__(
        self,
        run_call: RunCall | None = None,
        *,
        limit: int = 2,
        public_url: str = "https://voice.example",
        forward_number: str | None = None,
        start_timeout_s: float = 5.0,
        spec: AgentSpec = BAKERY,
        elsewhere: bool = False,
    ) -> None:
        self.settings = TwilioSettings(ACCOUNT, TOKEN, public_url, forward_number=forward_number)
        self.store = MemoryCallStore()
        self.active = ActiveCalls(limit, self.store, worker="w1")
        self.active.elsewhere = lambda: elsewhere
        self.wall = 1_800_000_000.0
        self.takeover = Takeover(self.active, self.store, wall=lambda: self.wall)
        self.tickets = TicketBook("a secret for tests")
        self.metrics = Metrics()
        self.served = Served()
        self.prewarmed: list[CallEntry] = []
        self.closed: list[CallEntry] = []
        """Calls whose record was closed without a stream."""
        self.briefs = MemoryBriefs()
        self.agents = Agents(loaded_agent(spec))
        self.campaigns = CampaignCalls(
            self.briefs, self.agents, self.store, self.metrics, wall=lambda: self.wall
        )
        self.rest = FakeRest()
        self.app: ASGIApp = create_app(
            Services(
                settings=self.settings,
                agents=self.agents,
                campaigns=self.campaigns,
                rest=self.rest,
                store=self.store,
                active=self.active,
                takeover=self.takeover,
                wall=lambda: self.wall,
                tickets=self.tickets,
                metrics=self.metrics,
                run_call=run_call or self.served,
                prewarm=self.prewarmed.append,
                close_record=self.closed.append,
                start_timeout_s=start_timeout_s,
            )
        )
        self.http = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app), base_url="http://10.0.0.7:8080"
        )

    async def post(
        self, path: str, *, token: str = TOKEN, query: str = "", **fields: str
    ) -> httpx.Response:
        """Send a signed webhook to the address behind the proxy."""
        given = {
            "CallSid": CALL,
            "AccountSid": ACCOUNT,
            "From": "+15550100001",
            "To": "+15550100002",
            "CallStatus": "in-progress",
            "Direction": "inbound",
            "FromCity": "",
        } | fields
        pairs = list(given.items())
        url = self.settings.url(path) + query
        return await self.http.post(
            path + query,
            content=urlencode(pairs),
            headers={
                "content-type": "application/x-www-form-urlencoded",
                "x-twilio-signature": sign(url, pairs, token),
            },
        )

    def announced(self, call_sid: str = CALL) -> CallEntry:
        """The entry of a call that has been announced."""
        entry = self.active.get(call_sid)
        assert entry is not None
        return entry

    async def announce(self, call_sid: str = CALL) -> str:
        """Ring, and return the ticket in the answer."""
        answer = await self.post("/voice", CallSid=call_sid, CallStatus="ringing")
        return ticket(answer)

    def counted(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0

    @property
    def media_signature(self) -> dict[str, str]:
        return {"x-twilio-signature": sign(self.settings.media_url)}


def verbs(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/xml")
    return [verb.tag for verb in ET.fromstring(answer.text)]


def ticket(answer: httpx.Response) -> str:
    (parameter,) = ET.fromstring(answer.text).iter("Parameter")
    return parameter.attrib["value"]


def redirect(answer: httpx.Response) -> str:
    (found,) = ET.fromstring(answer.text).iter("Redirect")
    return found.text or ""

"""What goes wrong with REST requests by chance, and what a client sees of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import uvloop

from workers.twin.twilio_api.callee import CalleeBehaviour
from workers.twin.twilio_api.rest_faults import RandomRest, RestFault, RestOdds
from workers.twin.twilio_api.server import DEMO_ACCOUNT_SID, DEMO_AUTH_TOKEN, TwilioTwin

PATH = f"/2010-04-01/Accounts/{DEMO_ACCOUNT_SID}/Calls"
FORM = {
    "To": "+15550100009",
    "From": "+15550100002",
    "Twiml": "<Response><Pause length='30'/></Response>",
}


class Client:
    """Plain HTTP: what the SDK makes of it is not the matter here."""

    def __init__(self, twilio: TwilioTwin) -> None:
        self.http = httpx.AsyncClient(
            base_url=twilio.base_url,
            auth=(DEMO_ACCOUNT_SID, DEMO_AUTH_TOKEN),
            timeout=10,
            trust_env=False,
        )

    async def order(self, **changed: str) -> httpx.Response:
        return await self.http.post(f"{PATH}.json", data=FORM | changed)

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.http.aclose()


async def ends(twilio: TwilioTwin) -> None:
    async with asyncio.timeout(10):
        while twilio.live_calls:  # noqa: ASYNC110 - the twin's state is what is tested
            await asyncio.sleep(0.01)


def test_fate_follows_from_seed_kind_and_number() -> None:
    """Questions in between change nothing for the orders."""
    one, two = RandomRest(7, read=RestOdds()), RandomRest(7)
    orders = [one("POST", f"{PATH}.json") for _ in range(300)]
    mixed = []
    for number in range(300):
        for _ in range(number % 3):
            two("GET", f"{PATH}.json")
        mixed.append(two("POST", f"{PATH}.json"))
    assert mixed == orders
    assert [RandomRest(8).of("create", n) for n in range(1, 301)] != orders
    assert all(two("POST", f"{PATH}/CA1.json") is None for _ in range(300))


def test_every_fate_comes_as_often_as_its_odds() -> None:
    """Counted over many requests with seed 7, so that it cannot flicker."""
    rest = RandomRest(7, late_s=9)
    fates = Counter(rest.of("create", number) for number in range(1, 10_001))
    assert 450 < fates[RestFault(code=20429)] < 550
    assert fates[RestFault(answer_delay_s=9)] > 150
    assert fates[RestFault(broken_off=True)] > 150
    assert fates[RestFault(broken_off=True, carried_out=True)] > 230
    for code in (20500, 20503):
        assert fates[RestFault(code=code)] > 110
        assert fates[RestFault(code=code, carried_out=True)] > 110
    assert fates[None] > 8000


def test_odds_of_more_than_one_are_refused() -> None:
    """Or some fate would never come."""
    with pytest.raises(ValueError, match=r"more than 1"):
        RestOdds(late=0.95)


@pytest.mark.parametrize("done", [True, False])
async def test_connection_ends_without_an_answer(done: bool) -> None:
    """The client sees the connection end, whether there is a call or not; the next is served."""
    async with TwilioTwin() as twilio, Client(twilio) as client:
        twilio.on_rest = lambda _method, _path: RestFault(broken_off=True, carried_out=done)
        with pytest.raises(httpx.TransportError) as caught:
            await client.order()
        assert not isinstance(caught.value, httpx.TimeoutException)
        assert len(twilio.ledger) == len(twilio.facts) == done
        twilio.on_rest = lambda _method, _path: None
        assert (await client.order()).status_code == 201


def test_connection_ends_on_uvloop_as_well() -> None:
    """Its transports are not of asyncio's classes."""

    async def order() -> None:
        async with TwilioTwin() as twilio, Client(twilio) as client:
            twilio.on_rest = lambda _method, _path: RestFault(broken_off=True)
            with pytest.raises(httpx.TransportError):
                await client.order()

    uvloop.run(order())


@pytest.mark.parametrize("done", [True, False])
async def test_server_error_says_nothing_of_what_was_done(done: bool) -> None:
    """20503 before, and 20503 after the call was made."""
    async with TwilioTwin() as twilio, Client(twilio) as client:
        twilio.on_rest = lambda _method, _path: RestFault(code=20503, carried_out=done)
        answer = await client.order()
        assert (answer.status_code, answer.json()["code"]) == (503, 20503)
        assert len(twilio.ledger) == done


async def test_too_many_requests_at_once_are_not_processed() -> None:
    """429 and 20429 for those beyond the limit, and the header tells how many there are."""
    async with TwilioTwin(most_requests=2) as twilio, Client(twilio) as client:
        twilio.on_rest = lambda _method, _path: RestFault(delay_s=0.5)
        answers = await asyncio.gather(*(client.order() for _ in range(4)))
        assert sorted(answer.status_code for answer in answers) == [201, 201, 429, 429]
        assert len(twilio.ledger) == 2
        refused = [answer for answer in answers if answer.status_code == 429]
        assert {answer.json()["code"] for answer in refused} == {20429}
        counts = sorted(int(a.headers["Twilio-Concurrent-Requests"]) for a in answers)
        assert counts[:2] == [1, 2]
        assert counts[-1] > 2


async def test_too_many_calls_at_once_are_refused_until_one_ends() -> None:
    """10004, and nothing is dialled."""
    async with TwilioTwin(most_calls=1) as twilio, Client(twilio) as client:
        first = (await client.order()).json()["sid"]
        refused = await client.order()
        assert (refused.status_code, refused.json()["code"]) == (429, 10004)
        twilio.find_call(first).end("canceled", "test")
        await ends(twilio)
        assert (await client.order()).status_code == 201
        assert len(twilio.ledger) == 2


@pytest.mark.parametrize("code", [21211, 21214])
async def test_number_may_be_refused_by_its_callee(code: int) -> None:
    """The order is refused, and there is no call."""
    async with TwilioTwin() as twilio, Client(twilio) as client:
        twilio.on_dial = lambda _: CalleeBehaviour(refusal=code)
        answer = await client.order()
        assert (answer.status_code, answer.json()["code"]) == (400, code)
        assert not twilio.facts
        assert not len(twilio.ledger)


@pytest.fixture
async def queued() -> AsyncIterator[tuple[TwilioTwin, Client, list[dict[str, Any]]]]:
    """Three calls in a queue that lets one go every five seconds."""
    async with TwilioTwin(calls_per_second=0.2) as twilio, Client(twilio) as client:
        yield twilio, client, [(await client.order()).json() for _ in range(3)]


async def test_calls_beyond_the_rate_are_queued(
    queued: tuple[TwilioTwin, Client, list[dict[str, Any]]],
) -> None:
    """All are accepted as ``queued``; the estimate grows, and only the first is dialled."""
    twilio, client, calls = queued
    assert [call["status"] for call in calls] == ["queued"] * 3
    assert [call["queue_time"] for call in calls] == ["0", "5000", "10000"]
    async with asyncio.timeout(5):
        while twilio.facts[calls[0]["sid"]].state != "in-progress":  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.01)
    assert [entry.left_queue_at is None for entry in twilio.ledger] == [False, True, True]
    sid = calls[1]["sid"]
    await client.http.post(f"{PATH}/{sid}.json", data={"Status": "canceled"})
    async with asyncio.timeout(5):
        while sid in twilio.live_calls:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.01)
    gone = twilio.ledger[sid]
    assert (gone.status, gone.left_queue_at) == ("canceled", None)
    assert gone.ended_at is not None

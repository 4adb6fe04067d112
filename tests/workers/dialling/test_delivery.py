"""Customers' systems are told, signed, until they have it or three days are over."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import aiohttp
import orjson
import pytest
from aiohttp import web
from sqlalchemy import Engine, select, update

from tests.workers.store.campaigns.samples import NOW, campaign, row
from workers.campaign.model import ContactState, Webhook
from workers.dialling.delivery import GIVE_UP, WAITS, Delivered, deliver, next_try, signature
from workers.store.campaign_schema import contacts, outbox
from workers.store.campaigns.campaigns import create
from workers.store.campaigns.contacts import add_contacts
from workers.store.campaigns.outbox import NEVER, put
from workers.store.campaigns.reports import keep_report
from workers.store.database import writing
from workers.store.rows import utc

SECRET = "whsec_" + base64.b64encode(b"sesame" * 4).decode()


@dataclass
class Customer:
    """A customer's system, which answers what it is told to."""

    answers: list[int] = field(default_factory=list)
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    url: str = ""
    meanwhile: list[Callable[[], None]] = field(default_factory=list)
    """What happens before it answers."""

    async def hook(self, request: web.Request) -> web.Response:
        self.requests.append((dict(request.headers), await request.read()))
        if self.meanwhile:
            self.meanwhile.pop(0)()
        status = self.answers.pop(0) if self.answers else 204
        return web.Response(status=status, headers={"location": "/elsewhere"})


@pytest.fixture
async def customer() -> AsyncIterator[Customer]:
    system = Customer()
    app = web.Application()
    app.router.add_post("/hook", system.hook)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    system.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    yield system
    await runner.cleanup()


@dataclass
class Shop:
    """A campaign with contacts that are done with, and a clock."""

    engine: Engine
    now: float = NOW.timestamp()
    secret: str | None = SECRET
    for_s: float = 0.0

    def fill(self, url: str, people: int, *, secret_env: str = "CRM_KEY") -> None:
        webhook = Webhook(url, secret_env)
        with writing(self.engine) as connection:
            name = f"c{url}"
            campaign_id = create(connection, campaign(name, webhook=webhook), now=NOW)
            rows = [row(n) for n in range(people)]
            add_contacts(connection, campaign_id, rows, now=NOW)
            which = select(contacts.c.id).where(contacts.c.campaign_id == campaign_id)
            connection.execute(update(contacts).values(state=ContactState.DONE))
            put(connection, connection.scalars(which).all(), now=NOW)

    async def deliver(self) -> Delivered:
        async with aiohttp.ClientSession() as http:
            return await deliver(
                self.engine,
                http,
                wall=lambda: self.now,
                secret_of=lambda _: self.secret,
                for_s=self.for_s,
            )

    def report(self, fields: dict[str, object]) -> None:
        """Have the agent report this of everybody."""
        now = datetime.fromtimestamp(self.now, UTC)
        with writing(self.engine) as connection:
            for contact_id in connection.scalars(select(contacts.c.id)).all():
                keep_report(connection, contact_id, fields, now=now)

    def errors(self) -> list[str]:
        with writing(self.engine) as connection:
            return list(connection.scalars(select(outbox.c.last_error)))


@pytest.fixture
def shop(sqlite_engine: Engine) -> Shop:
    return Shop(sqlite_engine)


async def test_a_system_that_fails_twice_is_told_at_the_third_try(
    customer: Customer, shop: Shop
) -> None:
    """Each try has the same ID and body, and a signature of its own time."""
    customer.answers = [500, 302]
    shop.fill(customer.url, 1)
    assert await shop.deliver() == Delivered(failed=1)
    assert await shop.deliver() == Delivered(), "it waits"
    shop.now += WAITS[0].total_seconds()
    assert await shop.deliver() == Delivered(failed=1), "a redirect is not followed"
    assert shop.errors() == ["it answered 302"]
    shop.now += WAITS[1].total_seconds()
    assert await shop.deliver() == Delivered(told=1)
    shop.now += GIVE_UP.total_seconds()
    assert await shop.deliver() == Delivered(), "told once"
    headers = [each for each, _ in customer.requests]
    assert len({each["webhook-id"] for each in headers}) == 1
    assert len({body for _, body in customer.requests}) == 1
    for each, body in customer.requests:
        signed = f"{each['webhook-id']}.{each['webhook-timestamp']}.".encode() + body
        digest = hmac.new(b"sesame" * 4, signed, hashlib.sha256).digest()
        assert each["webhook-signature"] == "v1," + base64.b64encode(digest).decode()
    assert len({each["webhook-signature"] for each in headers}) == 3


async def test_a_dead_system_costs_another_nothing(customer: Customer, shop: Shop) -> None:
    """Nobody listens at one address; what is for the other arrives in the same round."""
    shop.fill("http://127.0.0.1:9/hook", 3)
    shop.fill(customer.url, 3)
    assert await shop.deliver() == Delivered(told=3, failed=3)


async def test_after_three_days_it_is_given_up_with_the_reason(
    customer: Customer, shop: Shop
) -> None:
    """It is not tried any more, and the row says why."""
    customer.answers = [503] * 100
    shop.fill(customer.url, 1)
    for _ in range(200):
        await shop.deliver()
        shop.now += 3600
    with writing(shop.engine) as connection:
        left = connection.execute(select(outbox)).one()
    assert (utc(left.next_at), left.delivered_at) == (NEVER, None)
    assert left.last_error == "it answered 503"
    assert 15 < len(customer.requests) < 30


async def test_report_that_comes_while_a_contact_is_told_of_is_told_next(
    customer: Customer, shop: Shop
) -> None:
    """What the customer's system has just answered to was the revision before."""
    shop.fill(customer.url, 1)
    customer.meanwhile = [lambda: shop.report({"coming": True})]
    shop.for_s = 5.0
    assert await shop.deliver() == Delivered(told=2)
    assert await shop.deliver() == Delivered()
    ids = [headers["webhook-id"] for headers, _ in customer.requests]
    assert ids[1] == f"{ids[0]}_2"
    told = [orjson.loads(body)["data"] for _, body in customer.requests]
    assert [(one["revision"], one["report"]) for one in told] == [(1, None), (2, {"coming": True})]


async def test_refusal_of_one_revision_holds_the_next_up_for_nothing(
    customer: Customer, shop: Shop
) -> None:
    """It begins at its first try, and ends three days after itself."""
    shop.fill(customer.url, 1)
    customer.answers = [500]
    customer.meanwhile = [lambda: shop.report({"coming": True})]
    shop.for_s = 5.0
    assert await shop.deliver() == Delivered(told=1, failed=1)
    assert shop.errors() == [""]


async def test_nothing_is_sent_unsigned_where_a_secret_is_named(
    customer: Customer, shop: Shop
) -> None:
    """Its variable is not set, or is no key: both are kept and tried again."""
    shop.fill(customer.url, 1)
    shop.secret = None
    assert await shop.deliver() == Delivered(failed=1)
    assert shop.errors() == ["CRM_KEY: is not set where Celery's worker runs"]
    shop.secret = "whsec_not base64"
    shop.now += WAITS[0].total_seconds()
    assert await shop.deliver() == Delivered(failed=1)
    assert not customer.requests
    shop.secret = SECRET
    shop.now += WAITS[1].total_seconds()
    assert await shop.deliver() == Delivered(told=1)


async def test_without_a_named_secret_there_is_no_signature(customer: Customer, shop: Shop) -> None:
    """The operator's file asks for none."""
    shop.fill(customer.url, 1, secret_env="")
    assert await shop.deliver() == Delivered(told=1)
    assert "webhook-signature" not in customer.requests[0][0]


def test_signature_is_the_specifications_own() -> None:
    """The example of the specification's reference libraries."""
    # github.com/standard-webhooks/standard-webhooks, libraries/python/tests/test_webhooks.py
    assert (
        signature(
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1614265330,
            b'{"test": 2432232314}',
        )
        == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    )


def test_waits_grow_until_it_is_given_up() -> None:
    """None is later than three days after the contact was done with."""
    assert next_try(1, written_at=NOW, now=NOW) == NOW + WAITS[0]
    assert next_try(99, written_at=NOW, now=NOW) == NOW + WAITS[-1]
    assert next_try(99, written_at=NOW, now=NOW + GIVE_UP - timedelta(hours=1)) is None

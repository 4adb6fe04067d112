"""Delivery of webhooks: overrides, retries, redirects, and what a dead worker looks like."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from starlette.responses import RedirectResponse, Response
from twilio.request_validator import RequestValidator

from tests.fakes.voice_worker import VoiceWorker
from workers.twin.twilio_api.delivery import Answer, Deliverer, Overrides


async def deliver(url: str, *, method: str = "POST") -> Answer:
    deliverer = Deliverer("token")
    try:
        return await deliverer.deliver(url, {"A": "1", "B": ""}, method=method)
    finally:
        await deliverer.close()


def test_overrides_are_read_within_their_ranges() -> None:
    """Defaults and bounds of the documentation."""
    assert Overrides.of("https://x.example/") == Overrides(5, 15, 15, 1, frozenset({"ct"}))
    found = Overrides.of("https://x.example/#ct=50&rt=99999&tt=2000&rc=9&rp=4xx,rt&e=dublin")
    assert found == Overrides(0.1, 15, 2, 5, frozenset({"4xx", "rt"}))


async def test_server_error_is_retried_only_by_policy() -> None:
    """By default one try; with ``rp=5xx`` as many as ``rc`` says, with the same token."""
    async with VoiceWorker(twiml={"/voice": Response(status_code=503)}) as worker:
        answer = await deliver(f"{worker.base_url}/voice")
        assert (answer.code, answer.status, len(worker.requests)) == (11200, 503, 1)
        await deliver(f"{worker.base_url}/voice#rp=5xx&rc=2")
        tokens = {r.headers["i-twilio-idempotency-token"] for r in worker.requests[1:]}
        assert (len(worker.requests), len(tokens)) == (4, 1)


async def test_get_signs_the_query() -> None:
    """Parameters of a GET are in the URL, and the URL is what is signed."""
    async with VoiceWorker(twiml={"/voice": "<Response/>"}) as worker:
        await deliver(f"{worker.base_url}/voice?n=1", method="GET")
        (request,) = worker.requests
        signature = request.headers["x-twilio-signature"]
        assert request.path == "/voice?n=1&A=1&B="
        assert RequestValidator("token").validate(worker.base_url + request.path, {}, signature)


async def test_redirects_are_followed_and_signed_again() -> None:
    """A 302 becomes a GET of the new place."""
    async with VoiceWorker() as worker:
        worker.twiml |= {"/a": RedirectResponse("/b", 302), "/b": "<Response/>"}
        answer = await deliver(f"{worker.base_url}/a")
        assert answer.url == f"{worker.base_url}/b"
        assert [r.method for r in worker.requests] == ["POST", "GET"]
        worker.twiml["/b"] = RedirectResponse("/a", 307)
        assert (await deliver(f"{worker.base_url}/a")).code == 11215


async def test_slow_worker_is_given_up() -> None:
    """The read time-out of the override ends the wait."""
    async with VoiceWorker(delay_s=5) as worker:
        assert (await deliver(f"{worker.base_url}/voice#rt=100")).code == 11200


async def test_absent_worker_is_11205() -> None:
    """A refused connection is tried once more by default, and only that."""
    answer = await deliver("http://127.0.0.1:9/")
    assert (answer.code, answer.attempts) == (11205, 2)
    assert (await deliver("http://127.0.0.1:9/#rc=0")).attempts == 1
    async with VoiceWorker(delay_s=5) as worker:
        slow = await deliver(f"{worker.base_url}/voice#rt=100")
    assert (slow.code, slow.attempts) == (11200, 1)


async def test_worker_that_dies_over_a_request_is_not_asked_again() -> None:
    """It may have done what it was asked: only where nothing was sent is there a second try."""

    async def die(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.abort()

    server = await asyncio.start_server(die, "127.0.0.1", 0)
    async with server:
        answer = await deliver(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
    assert (answer.code, answer.attempts) == (11200, 1)


@pytest.mark.parametrize(("keep_alive", "connections"), [(True, 1), (False, 2)])
async def test_connection_is_kept_unless_several_workers_share_the_port(
    keep_alive: bool, connections: int
) -> None:
    """A kept one leads to the same process again, hung or not."""
    opened = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal opened
        opened += 1
        with contextlib.suppress(asyncio.IncompleteReadError):
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    deliverer = Deliverer("token", keep_alive=keep_alive)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        for _ in range(2):
            assert (await deliverer.deliver(url, {}, method="POST")).status == 204
        await deliverer.close()
    assert opened == connections

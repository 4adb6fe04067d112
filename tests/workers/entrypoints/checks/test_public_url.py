"""What an address shows from outside, and what is wrong with it."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from starlette.responses import PlainTextResponse
from starlette.websockets import WebSocket

from telephony.settings import TwilioSettings
from tests.fakes.voice_worker import VoiceWorker
from tests.workers.entrypoints.app import ACCOUNT, TOKEN, App
from tests.workers.entrypoints.twins import free_port
from workers.entrypoints.checks.finding import Finding, Outcome
from workers.entrypoints.checks.public_url import (
    check_certificate,
    check_media,
    check_name,
    check_worker,
)
from workers.entrypoints.server import WebServer
from workers.twin.live_api.server import LiveTwin
from workers.twin.twilio_api.server import TwilioTwin


@pytest.fixture
async def tls() -> AsyncIterator[LiveTwin]:
    """Some server with a certificate."""
    async with LiveTwin() as server:
        yield server


def one(findings: list[Finding]) -> tuple[Outcome, str]:
    (finding,) = findings
    assert bool(finding.mend) == (finding.outcome is not Outcome.OK)
    return finding.outcome, finding.text


async def test_name_without_address_fails() -> None:
    """``.invalid`` never has one (RFC 2606)."""
    outcome, text = one(await check_name("https://evercall.invalid"))
    assert outcome is Outcome.FAIL
    assert "evercall.invalid" in text


async def test_private_address_is_for_twins_only() -> None:
    """Twilio refuses to ask private addresses."""
    outcome, text = one(await check_name("https://127.0.0.1"))
    assert (outcome, "not a public address" in text) == (Outcome.FAIL, True)
    assert one(await check_name("http://127.0.0.1:8080", public=False))[0] is Outcome.OK


async def test_certificate_tells_the_days_left(tls: LiveTwin) -> None:
    """With less than two weeks it is time to look."""
    ca_file = Path(tls.ca_file)
    outcome, text = one(await check_certificate(tls.base_url, ca_file))
    assert outcome is Outcome.OK
    (days,) = re.findall(r"valid for (\d+) more days", text)
    later = time.time() + (int(days) - 10) * 86_400
    outcome, text = one(await check_certificate(tls.base_url, ca_file, now=later))
    assert outcome is Outcome.WARN
    assert re.search(r"valid for (9|10|11) more days", text)


async def test_certificate_that_is_not_trusted_fails(tls: LiveTwin) -> None:
    """A certificate of one's own is none for Twilio."""
    outcome, text = one(await check_certificate(tls.base_url, None))
    assert (outcome, "certificate" in text) == (Outcome.FAIL, True)


async def test_certificate_of_another_name_fails(tls: LiveTwin) -> None:
    """The name in the address counts."""
    port = tls.base_url.rpartition(":")[2]
    outcome, text = one(await check_certificate(f"https://127.0.0.2:{port}", Path(tls.ca_file)))
    assert outcome is Outcome.FAIL
    assert "127.0.0.2" in text


async def test_nobody_there_fails() -> None:
    """No TLS, no worker, no socket."""
    port = free_port()
    settings = TwilioSettings(ACCOUNT, TOKEN, f"https://127.0.0.1:{port}")
    assert one(await check_certificate(settings.public_url, None))[0] is Outcome.FAIL
    assert one(await check_worker(settings.public_url, None))[0] is Outcome.FAIL
    assert one(await check_media(settings, None))[0] is Outcome.FAIL


async def test_another_server_is_not_taken_for_a_worker() -> None:
    """A tunnel's own error page, or somebody who lets everybody in."""

    async def let_in(socket: WebSocket) -> None:
        await socket.close(1000)

    other = VoiceWorker(twiml={"/healthz": PlainTextResponse("welcome")}, media=let_in)
    async with other:
        outcome, text = one(await check_worker(other.base_url, None))
        assert (outcome, "not as a worker does" in text) == (Outcome.FAIL, True)
        settings = TwilioSettings(ACCOUNT, TOKEN, other.base_url)
        outcome, text = one(await check_media(settings, None))
        assert (outcome, "lets anybody in" in text) == (Outcome.FAIL, True)


async def test_proxy_without_websockets_is_told() -> None:
    """It answers the upgrade as if it were a page."""
    async with TwilioTwin() as pages:
        settings = TwilioSettings(ACCOUNT, TOKEN, pages.base_url)
        outcome, text = one(await check_media(settings, None))
    assert (outcome, "not with 403" in text) == (Outcome.FAIL, True)


async def test_worker_of_the_same_settings_is_recognised() -> None:
    """It refuses strangers and knows what Twilio would sign."""
    port = free_port()
    app = App(public_url=f"http://127.0.0.1:{port}")
    async with WebServer(app.app, host="127.0.0.1", port=port):
        assert one(await check_worker(app.settings.public_url, None))[0] is Outcome.OK
        assert one(await check_media(app.settings, None))[0] is Outcome.OK
    assert not app.served.entries


async def test_worker_of_another_address_is_told() -> None:
    """Its address is signed, so one that differs lets nobody in."""
    port = free_port()
    app = App(public_url="https://elsewhere.example")
    async with WebServer(app.app, host="127.0.0.1", port=port):
        settings = TwilioSettings(ACCOUNT, TOKEN, f"http://127.0.0.1:{port}")
        outcome, text = one(await check_media(settings, None))
    assert (outcome, "refuses Twilio's signature too" in text) == (Outcome.FAIL, True)

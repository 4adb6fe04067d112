"""Account, number and clock, as Twilio shows them."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest

from telephony.settings import TwilioSettings
from tests.workers.entrypoints.twins import OURS
from workers.entrypoints.checks.finding import Finding, Outcome
from workers.entrypoints.checks.twilio_account import check_account, check_clock, check_number
from workers.twin.twilio_api.server import TwilioTwin

URL = "https://voice.example"


@pytest.fixture
async def twilio() -> AsyncIterator[TwilioTwin]:
    async with TwilioTwin(numbers=[OURS]) as twin:
        twin.numbers[OURS].voice_url = f"{URL}/voice"
        twin.numbers[OURS].status_callback = f"{URL}/voice/status"
        yield twin


def settings(twilio: TwilioTwin) -> TwilioSettings:
    return TwilioSettings(twilio.account_sid, twilio.auth_token, URL, base_url=twilio.base_url)


async def number(twilio: TwilioTwin, *, point: bool = False) -> Finding:
    (finding,) = await check_number(settings(twilio), OURS, point=point)
    return finding


async def test_twilio_that_is_away_is_told() -> None:
    """It is neither the key's fault nor the number's."""
    nowhere = TwilioSettings("AC" + "0" * 32, "token", URL, base_url="http://127.0.0.1:1")
    (account,) = await check_account(nowhere)
    (own,) = await check_number(nowhere, OURS, point=False)
    for finding in (account, own):
        assert finding.outcome is Outcome.FAIL
        assert finding.text.startswith("cannot connect to Twilio")


async def test_number_that_is_not_ours_is_told(twilio: TwilioTwin) -> None:
    """Nothing is pointed anywhere then."""
    (finding,) = await check_number(settings(twilio), "+15550100077", point=True)
    assert finding.outcome is Outcome.FAIL
    assert finding.text.startswith("EVERCALL_PHONE_NUMBER: ")


async def test_connection_overrides_do_not_change_the_address(twilio: TwilioTwin) -> None:
    """Twilio reads its time-outs from the fragment."""
    twilio.numbers[OURS].voice_url += "#rc=2&rp=all"
    assert (await number(twilio)).outcome is Outcome.OK


async def test_webhook_must_be_posted(twilio: TwilioTwin) -> None:
    """A GET is answered with 405, and the call fails."""
    twilio.numbers[OURS].voice_method = "GET"
    assert (await number(twilio)).outcome is Outcome.FAIL
    assert (await number(twilio, point=True)).outcome is Outcome.OK


@pytest.mark.parametrize("field", ["voice_application_sid", "trunk_sid"])
async def test_application_and_trunk_take_the_calls_away(twilio: TwilioTwin, field: str) -> None:
    """Twilio ignores the number's webhooks then, however right they are."""
    setattr(twilio.numbers[OURS], field, "AP" + "0" * 32)
    finding = await number(twilio)
    assert (finding.outcome, "AP0" in finding.text) == (Outcome.FAIL, True)
    assert (await number(twilio, point=True)).outcome is Outcome.OK


async def test_missing_status_callback_is_a_warning(twilio: TwilioTwin) -> None:
    """Calls work without it."""
    twilio.numbers[OURS].status_callback = ""
    assert (await number(twilio)).outcome is Outcome.WARN


@pytest.mark.parametrize(
    ("offset_s", "outcome"),
    [(0, Outcome.OK), (-25, Outcome.OK), (40, Outcome.FAIL), (-40, Outcome.FAIL)],
)
async def test_clock_may_be_half_a_minute_off(
    twilio: TwilioTwin, offset_s: float, outcome: Outcome
) -> None:
    """Certificates and tickets depend on it."""
    (finding,) = await check_clock(twilio.base_url, None, now=lambda: time.time() + offset_s)
    assert finding.outcome is outcome
    if outcome is Outcome.FAIL:
        assert ("ahead of" if offset_s > 0 else "behind") in finding.text

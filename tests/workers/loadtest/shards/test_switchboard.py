"""A worker's REST requests come to whichever shard has the call."""

from __future__ import annotations

import asyncio

import httpx

from workers.loadtest.shards.switchboard import switchboard
from workers.loadtest.stage import DEMO_ACCOUNT, telephones
from workers.twin.caller import CallerScript, WaitSeconds

NOBODY = "http://127.0.0.1:9"


async def test_request_goes_to_whoever_has_the_call() -> None:
    """The first answers for what nobody has; one that is gone is passed over."""
    async with telephones(DEMO_ACCOUNT) as one, telephones(DEMO_ACCOUNT) as other:
        urls = [NOBODY, one.base_url, other.base_url]
        async with (
            switchboard(lambda: urls) as base,
            httpx.AsyncClient(
                auth=(DEMO_ACCOUNT.sid, DEMO_ACCOUNT.auth_token), trust_env=False
            ) as client,
        ):
            placed = [
                await twin.place_inbound_call(
                    f"{NOBODY}/voice",
                    caller=CallerScript((WaitSeconds(60.0),)),
                    from_="+15550000001",
                    to="+15550100002",
                    status_url="",
                    max_call_s=60.0,
                )
                for twin in (one, other)
            ]
            calls = f"{base}/2010-04-01/Accounts/{DEMO_ACCOUNT.sid}/Calls"
            for call in placed:
                found = await client.get(f"{calls}/{call.sid}.json")
                assert found.status_code == 200
                assert found.json()["sid"] == call.sid
                changed = await client.post(
                    f"{calls}/{call.sid}.json", data={"Status": "completed"}
                )
                assert changed.json()["sid"] == call.sid
            unknown = await client.get(f"{calls}/CA{'0' * 32}.json")
            assert unknown.status_code == 404
            refused = await client.get(f"{calls}.json", auth=("AC", "wrong"))
            assert refused.status_code == 401
            await asyncio.gather(*(call.wait(30) for call in placed))


async def test_nobody_there_yet() -> None:
    """The worker is told to try again."""
    async with switchboard(list) as base, httpx.AsyncClient(trust_env=False) as client:
        assert (await client.get(f"{base}/2010-04-01/Accounts")).status_code == 503

"""Many calls at once against callees, queue and faults by seed: what a campaign's rehearsal needs.

An hour passes in some seconds. What the ledger says is compared with what the callees were.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter

import httpx

from tests.fakes.voice_worker import VoiceWorker
from workers.twin.caller import Tone
from workers.twin.twilio_api.callee import Voicemail
from workers.twin.twilio_api.callees import CalleeMix, RandomCallees
from workers.twin.twilio_api.rest_faults import RandomRest
from workers.twin.twilio_api.server import DEMO_ACCOUNT_SID, DEMO_AUTH_TOKEN, TwilioTwin

SEED = 7
SPEED = 100.0
CALLS = 80
BEGAN_AT = 1_800_000_000.0
PATH = f"/2010-04-01/Accounts/{DEMO_ACCOUNT_SID}/Calls"
MIX = CalleeMix(human=20, voicemail=10, no_answer=20, not_found=10, invalid=10, blocked=10)
ENDS = {
    "human": "completed",
    "unknown": "completed",
    "voicemail": "completed",
    "fax": "completed",
    "no_answer": "no-answer",
    "busy": "busy",
}


async def test_rehearsal_of_a_campaign_leaves_a_true_ledger() -> None:
    """Every order that was done is in it once, in its final state, as its number behaves.

    It leaves the queue at the rate by the wall clock, and the twin's bound on what REST remembers
    takes nothing from it.
    """
    print(f"seed {SEED}")
    began_s = time.monotonic()
    callees = RandomCallees(
        SEED, MIX, voicemail=Voicemail((Tone(440, 200),), beep_ms=100, record_s=0.2)
    )
    answers: Counter[int] = Counter()
    async with VoiceWorker() as worker:
        twilio = TwilioTwin(
            calls_per_second=1,
            remembered_calls=10,
            speed=SPEED,
            wall=lambda: BEGAN_AT + (time.monotonic() - began_s) * SPEED,
        )
        async with twilio, _client(twilio) as client:
            twilio.on_dial = callees
            twilio.on_rest = RandomRest(SEED, late_s=0.1)

            async def order(n: int) -> None:
                form = {
                    "To": f"+1555{n:07}",
                    "From": "+15550100002",
                    "Twiml": "<Response><Pause length='60'/></Response>",
                    "Timeout": "30",
                    "StatusCallback": f"{worker.base_url}/status?attempt={n}",
                    "StatusCallbackEvent": ["initiated", "ringing", "answered", "completed"],
                }
                try:
                    answer = await client.post(f"{PATH}.json", data=form)
                except httpx.TransportError:
                    answers[0] += 1
                else:
                    answers[answer.status_code] += 1

            await asyncio.gather(*(order(n) for n in range(CALLS)))
            async with asyncio.timeout(30):
                while twilio.live_calls:  # noqa: ASYNC110 - the twin's state
                    await asyncio.sleep(0.02)
            assert len(twilio.facts) == 10
    met = {entry.to: callees.kind(entry.to, 1) for entry in twilio.ledger}
    assert {e.to: e.status for e in twilio.ledger} == {
        to: ENDS.get(kind, "failed") for to, kind in met.items()
    }
    assert not {"invalid", "unreachable"} & set(met.values())
    assert [e.query["attempt"] for e in twilio.ledger] == [str(int(to[5:])) for to in met]
    # Some were refused, some lost; those that nobody was told of are in the ledger all the same.
    assert min(answers[0], answers[400], answers[429]) > 0
    assert len(twilio.ledger) > answers[201] > CALLS / 2
    left = sorted(entry.left_queue_at or 0.0 for entry in twilio.ledger)
    # The rest is what a loop that is behind may lose; exact times are in test_call_queue.
    assert left[-1] - left[0] >= 0.75 * len(left)
    told = Counter(r.params["CallSid"] for r in worker.requests if r.params["CallStatus"] in _LAST)
    assert told == {entry.sid: 1 for entry in twilio.ledger}


_LAST = {"completed", "busy", "no-answer", "failed", "canceled"}


def _client(twilio: TwilioTwin) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=twilio.base_url,
        auth=(DEMO_ACCOUNT_SID, DEMO_AUTH_TOKEN),
        timeout=20,
        trust_env=False,
    )

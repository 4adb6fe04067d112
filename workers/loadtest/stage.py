"""Everything that a load test stands on: the two simulated ends, and the worker between them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

from workers.loadtest.model import model_faults, model_script
from workers.loadtest.plan import LiveSide, Plan
from workers.loadtest.sessions import Sessions, TwinSessions
from workers.loadtest.under_test import Ends, StartWorker, UnderTest
from workers.twin.live_api.server import LiveTwin
from workers.twin.live_api.session_log import Keep
from workers.twin.twilio_api.server import DEMO_ACCOUNT_SID, DEMO_AUTH_TOKEN, TwilioTwin

LIVE_KEY: Final = "loadtest-key"
LONGER_S: Final = 120.0
"""So much longer than planned a call may take: answers are heard out, and calls taken over."""


@dataclass(frozen=True, slots=True)
class Account:
    """The Twilio account that a worker believes in."""

    sid: str = DEMO_ACCOUNT_SID
    auth_token: str = DEMO_AUTH_TOKEN


DEMO_ACCOUNT: Final = Account()


@dataclass(frozen=True, slots=True)
class Stage:
    """What a test is made with; ``sessions`` is None where the service plays the model."""

    twilio: TwilioTwin
    sessions: Sessions | None
    worker: UnderTest


@asynccontextmanager
async def staged(
    plan: Plan, start: StartWorker, *, account: Account = DEMO_ACCOUNT
) -> AsyncIterator[Stage]:
    """Start the simulated ends and the worker; nothing of them is left on exit.

    Raises:
        LoadTestError: the worker cannot be had.
    """
    async with AsyncExitStack() as stack:
        live = await stack.enter_async_context(live_side(plan))
        twilio = await stack.enter_async_context(telephones(account))
        worker = await stack.enter_async_context(start(ends_of(account, twilio.base_url, live)))
        yield Stage(twilio, None if live is None else TwinSessions(live), worker)


@asynccontextmanager
async def live_side(plan: Plan) -> AsyncIterator[LiveTwin | None]:
    """Start the simulated Live API of a plan; None where there is none."""
    # Of a worker somewhere else the Live side is its own affair.
    if plan.live is not LiveSide.TWIN or plan.target.voice_url is not None:
        yield None
        return
    async with LiveTwin(
        model_script(plan),
        api_key=LIVE_KEY,
        faults=model_faults(plan),
        # All of a call, with which message brought which part of it, and no more.
        keep=Keep(audio_s=plan.call_s + LONGER_S, messages=0, notes=0, samples=0, arrivals=True),
        seed=plan.seed,
    ) as live:
        yield live


def telephones(account: Account) -> TwilioTwin:
    """Return the simulated Twilio of a test."""
    # A connection that is kept would lead to one of several processes, ever the same.
    # Marks are twenty events a second of each call: a garbage collection that walked those of 100
    # calls of ten minutes let no frame be sent for half a second (observed).
    return TwilioTwin(account.sid, account.auth_token, keep_alive=False, keep_marks=False)


def ends_of(account: Account, twilio_url: str, live: LiveTwin | None) -> Ends:
    """Return the ends that a worker is pointed to."""
    return Ends(
        account_sid=account.sid,
        auth_token=account.auth_token,
        twilio_url=twilio_url,
        live_url=live.base_url if live else None,
        live_ca_file=live.ca_file if live else None,
        live_key=LIVE_KEY if live else "",
    )

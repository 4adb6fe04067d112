"""Celery's app as production has it, on a wall clock that runs fast.

``celery -A tests.scenarios.campaigns.celery_process worker``, or beat.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from telephony.calls.rest import TwilioRest
from tests.fakes.scaled_wall import ScaledWall
from workers.campaign import pacing
from workers.dialling import beginning
from workers.dialling.celery_app import make_app

# Sets up the logs as well.
from workers.dialling.celery_main import settings
from workers.dialling.context import Context, OfThisProcess, build_context


def _build() -> Context:
    wall = ScaledWall.of(os.environ)
    twilio = settings.twilio()
    # A request is given up as soon as everything else of that clock expects it to be.
    twilio = replace(twilio, rest_timeout_s=twilio.rest_timeout_s / wall.factor)
    return replace(
        build_context(settings),
        wall=wall,
        clock=wall,
        sleep=wall.sleep,
        rest=lambda: TwilioRest(twilio),
        # All processes share the fast clock, which the database's is nowhere near.
        ahead_s=lambda: 0.0,
    )


# These are what a machine takes, which is no quicker: with a twentieth of them every instant is
# missed, and each nap is spent in looking again.
_FACTOR = ScaledWall.of(os.environ).factor
pacing.LEAST_LATE_S *= _FACTOR
beginning.NO_ROOM_S *= _FACTOR  # type: ignore[misc]


app: Any = make_app(settings, OfThisProcess(_build))
# Half as often by that clock as by the real one would be twenty messages a second.
for entry in app.conf.beat_schedule.values():
    entry["schedule"] = max(0.5, entry["schedule"] / 5)

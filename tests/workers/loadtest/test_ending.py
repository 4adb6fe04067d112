"""A call ended well if its caller meant it to; anything else is told in words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.workers.loadtest.bridged import HUNG_UP, Bridge, make_call
from workers.loadtest.ending import ending_of
from workers.loadtest.measured import Ending
from workers.twin.twilio_api.result import CallResult, TwinEvent

CLOSED = (31921, "stream closed by server: 1000")
BROKEN = (31903, "connection broken off by the server")


def ended(why: str, *more: TwinEvent) -> tuple[TwinEvent, ...]:
    return (*more, TwinEvent(9.0, "ended", {"why": why}))


@pytest.fixture(scope="module")
def call() -> CallResult:
    return make_call(Bridge(), lasts_s=4.0).result


def test_the_caller_hangs_up(call: CallResult) -> None:
    """After the last step of the script, whatever happened to the streams meanwhile."""
    assert ending_of(call, stopped=False) == (Ending.COMPLETED, "")
    assert ending_of(replace(call, warnings=(BROKEN,)), stopped=True)[0] is Ending.COMPLETED


def test_the_agent_hangs_up(call: CallResult) -> None:
    """In order, that is a goodbye; with an apology, or after a break, it is none."""
    goodbye = replace(call, script_finished=False, events=ended("Hangup"), warnings=(CLOSED,))
    assert ending_of(goodbye, stopped=False) == (Ending.COMPLETED, "")
    sorry = replace(goodbye, events=ended("Hangup", TwinEvent(8.0, "say", {"text": "Sorry."})))
    assert ending_of(sorry, stopped=False) == (Ending.DROPPED, "completed: Hangup")
    broken = replace(goodbye, warnings=(BROKEN, CLOSED))
    assert ending_of(broken, stopped=False) == (
        Ending.DROPPED,
        "completed: Hangup; connection broken off by the server",
    )


def test_the_caller_gives_up(call: CallResult) -> None:
    """They hung up, but had not meant to."""
    vain = TwinEvent(8.0, "script", {"doing": "StepTimedOut(step=WaitAgentStarts(timeout_s=20.0))"})
    ending, reason = ending_of(replace(call, events=(vain, *HUNG_UP)), stopped=False)
    assert ending is Ending.DROPPED
    assert "WaitAgentStarts" in reason


def test_there_never_was_a_stream(call: CallResult) -> None:
    """The last that Twilio's debugger says of it is why; else its status."""
    refused = replace(call, voices=(), events=ended("not answered"), status="failed")
    assert ending_of(refused, stopped=False) == (Ending.REFUSED, "failed: not answered")
    unheard = replace(refused, warnings=((11200, "HTTP retrieval failure: 503"),))
    assert ending_of(unheard, stopped=False) == (Ending.REFUSED, "HTTP retrieval failure: 503")
    untold = (15003, "Call progress: warning response to callback URL: 11200 HTTP 503")
    unheard = replace(unheard, warnings=(*unheard.warnings, untold))
    assert ending_of(unheard, stopped=False) == (Ending.REFUSED, "HTTP retrieval failure: 503")


def test_the_test_is_broken_off(call: CallResult) -> None:
    """Before the caller's last step, with a stream or without."""
    early = replace(call, script_finished=False)
    assert ending_of(early, stopped=True) == (Ending.STOPPED, "")
    assert ending_of(replace(early, voices=()), stopped=True) == (Ending.STOPPED, "")
    assert ending_of(early, stopped=False)[0] is Ending.DROPPED

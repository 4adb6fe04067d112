"""What tests do with a session that leaves a connection and moves to the next."""

from __future__ import annotations

from agent import commands, events
from agent.commands import Command, OpenConnection
from agent.conversation.record import MoveRecord
from agent.errors import LiveConnectFailed, LiveError
from agent.live.lifecycle import Lifecycle
from agent.live.move import ReportMove
from agent.live.session_events import (
    CaughtUp,
    ConnectFailed,
    ConnectionClosed,
    Opened,
    RetryDue,
    SessionEvent,
)
from agent.live.state import State
from tests.agent.live.lives import (
    AUDIO,
    run,
    take_all,
)

LOST = events.ConnectionLost(1006, "")
FALLBACK = "gemini-2.5-flash-native-audio-latest"
PERSON = {"the owner": "+15550100009"}
LEAVE = commands.LeaveConnection(said_again=False)
Out = list[Command | ReportMove]


def handle_comes(life: Lifecycle, now: float, handle: str = "h-1") -> None:
    life.receive(events.ResumptionUpdated(handle, True), now)


def answer(life: Lifecycle, now: float, *, handle: str | None = "h-1") -> None:
    """A whole turn of the model, which the caller hears at once."""
    for event in (AUDIO, events.GenerationCompleted(), events.TurnCompleted()):
        life.receive(event, now)
    if handle is not None:
        handle_comes(life, now, handle)


def fail(life: Lifecycle, attempt: int, now: float, error: LiveError | None = None) -> Out:
    return life.receive(ConnectFailed(error or LiveConnectFailed("no route"), attempt), now)


def closed(life: Lifecycle, now: float) -> Out:
    assert life.state is State.MOVING
    return life.receive(ConnectionClosed(), now)


def opened(life: Lifecycle, attempt: int, now: float) -> Out:
    """The next connection is up and has got what was held."""
    out = life.receive(Opened(attempt), now)
    take_all(life)
    return [*out, *life.receive(CaughtUp(), now)]


def report(out: Out) -> MoveRecord:
    (found,) = (item.record for item in out if isinstance(item, ReportMove))
    return found


def dial(out: Out) -> OpenConnection:
    (found,) = (item for item in out if isinstance(item, OpenConnection))
    return found


def retried(life: Lifecycle, now: float) -> tuple[float, OpenConnection]:
    """The dial that is due after a delay, and when."""
    for when, event, out in run(life, now, now + 5.0):
        if event == RetryDue():
            return when, dial(out)
    raise AssertionError("no dial is due")


def texts(out: Out) -> list[str]:
    return [item.text for item in out if isinstance(item, commands.SendText)]


def moved(life: Lifecycle, now: float, *, by: SessionEvent = LOST) -> Out:
    """Lose the connection and come up on the next one at once; what was commanded then."""
    life.receive(by, now)
    out = closed(life, now)
    if not out:
        now, again = retried(life, now)
        return opened(life, again.attempt, now)
    return opened(life, dial(out).attempt, now)

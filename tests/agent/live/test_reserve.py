"""A connection in reserve: when it is opened, promoted, and given up."""

from __future__ import annotations

from agent import commands, events
from agent.commands import OpenConnection
from agent.conversation.record import MoveKind
from agent.errors import LiveConnectFailed
from agent.live.lifecycle import Lifecycle
from agent.live.session_events import (
    ConnectFailed,
    Opened,
    StandbyLost,
)
from agent.spec import Moves
from agent.tools.runner import ToolAnswers
from tests.agent.live.lives import (
    ANSWER,
    AUDIO,
    CALL,
    MODEL,
    serving,
    speak,
)
from tests.agent.live.moving import (
    FALLBACK,
    LOST,
    answer,
    closed,
    dial,
    fail,
    opened,
    report,
)

STANDBY = Moves(standby=True)


def leaving_with_standby(*, ready: bool = True) -> Lifecycle:
    """A session that is to be left while a function runs; its standby is dial 2."""
    life = serving(moves=STANDBY)
    answer(life, 5.0)
    life.receive(events.ToolCallsRequested((CALL,)), 9.0)
    out = life.receive(events.GoAwayReceived(50.0), 10.0)
    # The function runs: what it brings is to be told by whoever promotes the connection.
    untold = frozenset({CALL.id})
    assert out == [commands.OpenConnection(2, MODEL, moved=True, standby=True, untold=untold)]
    if ready:
        life.receive(Opened(2), 10.5)
    return life


def test_refused_handle_is_followed_by_the_standby() -> None:
    """A failed resume costs no second dial."""
    life = leaving_with_standby()
    life.receive(LOST, 11.0)
    assert dial(closed(life, 11.0)).handle == "h-1"
    error = LiveConnectFailed("closed", code=1007, setup_sent=True)
    assert fail(life, 3, 11.5, error) == [commands.PromoteStandby(2)]
    found = report(opened(life, 2, 11.5))
    assert (found.kind, found.tries) == (MoveKind.STANDBY, 1)


def test_standby_that_a_turn_has_passed_by_is_not_promoted() -> None:
    """It does not know what was said since; a newer one takes its place."""
    life = leaving_with_standby()
    life.receive(ToolAnswers((ANSWER,)), 11.0)
    life.receive(AUDIO, 11.5)
    out = life.receive(events.TurnCompleted(), 12.0)
    assert out == [
        commands.CloseStandby(),
        commands.OpenConnection(3, MODEL, moved=True, standby=True),
    ]
    life.receive(Opened(2), 12.1)
    life.receive(LOST, 12.5)
    closed(life, 12.5)
    error = LiveConnectFailed("closed", code=1007, setup_sent=True)
    out = fail(life, 4, 13.0, error)
    assert out[0] == commands.CloseStandby()
    assert dial(out).attempt == 5
    assert report(opened(life, 5, 13.5)).kind is MoveKind.REFILL


def test_standby_that_a_barge_in_has_passed_by_is_not_promoted() -> None:
    """An interrupted turn is one that it does not know, either."""
    life = leaving_with_standby()
    life.receive(ToolAnswers((ANSWER,)), 11.0)
    life.receive(AUDIO, 11.5)
    speak(life, 11.5, 500)
    life.receive(events.Interrupted(), 12.0)
    life.receive(LOST, 12.1)
    closed(life, 12.1)
    out = fail(life, 3, 12.5, LiveConnectFailed("closed", code=1007, setup_sent=True))
    assert out[0] == commands.CloseStandby()
    assert dial(out).attempt == 4


def test_standby_that_is_lost_is_not_promoted() -> None:
    """Nor one that never came up."""
    for gone in (StandbyLost(2), ConnectFailed(LiveConnectFailed("no route"), 2)):
        life = leaving_with_standby(ready=isinstance(gone, StandbyLost))
        life.receive(gone, 10.8)
        life.receive(LOST, 11.0)
        closed(life, 11.0)
        out = fail(life, 3, 11.5, LiveConnectFailed("closed", code=1007, setup_sent=True))
        assert dial(out).attempt == 4


def test_standby_that_is_not_needed_is_closed() -> None:
    """The handle worked."""
    life = leaving_with_standby()
    life.receive(LOST, 11.0)
    closed(life, 11.0)
    out = life.receive(Opened(3), 11.5)
    assert commands.CloseStandby() in out


def test_standby_of_the_model_before_does_not_serve_as_the_fallback() -> None:
    """The quota of its model is used up, and the profile of the other is not its own."""
    life = serving(moves=Moves(standby=True, fallback_models=(FALLBACK,)))
    life.receive(events.ToolCallsRequested((CALL,)), 9.0)
    life.receive(events.GoAwayReceived(50.0), 10.0)
    life.receive(Opened(2), 10.5)
    life.receive(events.ConnectionLost(1011, "You exceeded your current quota"), 11.0)
    out = closed(life, 11.0)
    assert out[0] == commands.CloseStandby()
    assert dial(out).model == FALLBACK


def test_standbys_are_few_however_long_leaving_takes() -> None:
    """Each costs a connection; three for one leave, whatever is wished in between."""
    life = leaving_with_standby()
    dials = 1
    for turn in range(8):
        life.receive(events.GoAwayReceived(50.0), 11.0 + turn)
        out = life.receive(events.TurnCompleted(), 11.0 + turn)
        dials += sum(isinstance(item, OpenConnection) for item in out)
    assert dials == 3


def test_agent_without_standbys_opens_none() -> None:
    """Where concurrency is scarce."""
    life = serving()
    assert life.receive(events.GoAwayReceived(50.0), 10.0) == []


def test_ready_standby_serves_at_once_where_the_resume_met_a_quota() -> None:
    """Waiting is for those who have nothing in reserve."""
    life = leaving_with_standby()
    life.receive(LOST, 11.0)
    closed(life, 11.0)
    error = LiveConnectFailed("quota", code=1011, reason="quota", setup_sent=True)
    assert fail(life, 3, 11.5, error) == [commands.PromoteStandby(2)]

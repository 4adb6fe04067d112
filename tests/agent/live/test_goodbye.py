"""When a call that is to end may end."""

from __future__ import annotations

from agent.live.goodbye import CLOSING_MAX_S, STARVED_S, WAIT_S, Goodbye


def test_goodbye_is_heard_when_its_turn_is_over_and_played() -> None:
    """Both have to be true, in whatever order they come about."""
    goodbye = Goodbye(0.0)
    goodbye.agent_spoke(1.0)
    assert not goodbye.is_heard(1.0, pending_ms=0)
    goodbye.turn_ended(1.5)
    assert not goodbye.is_heard(1.5, pending_ms=700)
    assert goodbye.check_s == 2.2
    assert goodbye.is_heard(2.2, pending_ms=0)


def test_turn_without_audio_does_not_count() -> None:
    """The acknowledgement of a tool closes a turn of its own."""
    goodbye = Goodbye(0.0)
    goodbye.turn_ended(0.2)
    assert not goodbye.is_heard(0.2, pending_ms=0)
    assert goodbye.is_heard(WAIT_S, pending_ms=0)


def test_starved_audio_is_taken_for_all_of_it() -> None:
    """Audio that stops without an end of the turn does not hold the line."""
    goodbye = Goodbye(0.0)
    goodbye.agent_spoke(1.0)
    assert goodbye.is_heard(1.0 + STARVED_S, pending_ms=0)


def test_running_tool_is_waited_for() -> None:
    """The model says goodbye when it has the result."""
    goodbye = Goodbye(0.0)
    goodbye.tools_running(True, 0.5)
    assert not goodbye.is_heard(WAIT_S + 1, pending_ms=0)
    goodbye.tools_running(False, 5.0)
    assert not goodbye.is_heard(5.0 + WAIT_S - 0.1, pending_ms=0)
    assert goodbye.is_heard(5.0 + WAIT_S, pending_ms=0)


def test_waiting_is_bounded() -> None:
    """Whatever happens the call ends."""
    goodbye = Goodbye(0.0)
    goodbye.tools_running(True, 0.0)
    assert goodbye.is_heard(CLOSING_MAX_S, pending_ms=90_000)


def test_caller_who_speaks_into_it_is_not_hung_up_on() -> None:
    """A long sentence into the goodbye is heard to its end, and the model gets to answer it."""
    goodbye = Goodbye(0.0)
    goodbye.agent_spoke(1.0)
    goodbye.caller_speaks(True, 1.4)
    goodbye.interrupted(1.5)
    assert not goodbye.is_heard(1.5 + WAIT_S + 1, pending_ms=0)
    goodbye.caller_speaks(False, 7.0)
    assert not goodbye.is_heard(7.0 + WAIT_S - 0.1, pending_ms=0)
    assert goodbye.is_heard(7.0 + WAIT_S, pending_ms=0)


def test_caller_who_speaks_does_not_keep_a_finished_goodbye() -> None:
    """Once it is said and played, the caller's own goodbye does not hold the line."""
    goodbye = Goodbye(0.0)
    goodbye.agent_spoke(1.0)
    goodbye.turn_ended(1.2)
    goodbye.caller_speaks(True, 1.4)
    assert goodbye.is_heard(2.0, pending_ms=0)

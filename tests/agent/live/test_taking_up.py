"""Going on with another worker's session: by its handle, or filled anew; and what is said first."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent import commands, events
from agent.checkpoint import HANDLE_LIFE_S, SessionCheckpoint
from agent.conversation.owed import Owed
from agent.conversation.prompt import WAITING, Opening
from agent.conversation.record import EndReason, MoveCause, MoveKind, MoveMoment
from agent.errors import LiveConnectFailed
from agent.live.lifecycle import Lifecycle
from agent.live.models import profile_for
from agent.live.move import ReportMove
from agent.live.session_events import CaughtUp, EndRequested, GreetsAgain, Opened, Started
from agent.live.state import State
from agent.live.watchdog import PROOF_S, AnswerOverdue
from agent.spec import AgentSpec, Moves
from tests.agent.live.lives import AUDIO, MODEL, ask, run, take_all
from tests.agent.live.moving import FALLBACK, Out, answer, closed, dial, fail, opened, report, texts

ELAPSED_S = 100.0
START_S = 5_000.0
CHECKPOINT = SessionCheckpoint(at_s=98.0, model=MODEL, handle="h-a", handle_s=90.0, known_turns=2)
QUIET = Opening("Be kind.", owed=Owed.NOTHING, greeted="Hello, the bakery here.")
REST = replace(QUIET, owed=Owed.REST, nudge="Go on.")
ANSWER = replace(QUIET, owed=Owed.ANSWER, nudge=WAITING)
REFUSED = LiveConnectFailed("the handle was refused", code=1007, setup_sent=True)


def taking_up(
    opening: Opening = QUIET, checkpoint: SessionCheckpoint = CHECKPOINT, **moves: object
) -> tuple[Lifecycle, Out]:
    """A session that goes on with a checkpoint, and what it does first."""
    life = Lifecycle(
        spec=AgentSpec(
            name="bakery",
            system_instruction="Be kind.",
            model=MODEL,
            moves=Moves(fallback_models=(FALLBACK,), **moves),  # type: ignore[arg-type]  # its fields
        ),
        opening=replace(opening, checkpoint=checkpoint),
        profiles=lambda name: profile_for(name, vertexai=False),
        now=START_S,
        elapsed_s=ELAPSED_S,
    )
    return life, life.receive(Started(), START_S)


def serving(opening: Opening = QUIET) -> tuple[Lifecycle, Out]:
    life, _ = taking_up(opening)
    return life, opened(life, 1, START_S + 0.5)


# -- which connection ------------------------------------------------------------------------------


def test_session_is_resumed_by_its_handle() -> None:
    """The dial is one after a move: the caller waits, and the model is told that it goes on."""
    _, out = taking_up()
    assert out == [commands.OpenConnection(1, MODEL, "h-a", moved=True)]


@pytest.mark.parametrize(
    ("checkpoint", "model"),
    [
        (replace(CHECKPOINT, handle=None), MODEL),
        (replace(CHECKPOINT, handle_s=ELAPSED_S - HANDLE_LIFE_S), MODEL),
        (replace(CHECKPOINT, model="gemini-9-live"), MODEL),
        (replace(CHECKPOINT, handle=None, model=FALLBACK), FALLBACK),
    ],
    ids=["no handle", "too old", "another model", "no handle of the fallback"],
)
def test_session_without_a_handle_of_use_is_filled_anew(
    checkpoint: SessionCheckpoint, model: str
) -> None:
    """It is none of ours, or the server has forgotten it."""
    _, out = taking_up(checkpoint=checkpoint)
    assert out == [commands.OpenConnection(1, model, None, moved=True)]


def test_handle_of_a_fallback_model_is_resumed_with_that_model() -> None:
    """Another one does not know it."""
    life, out = taking_up(checkpoint=replace(CHECKPOINT, model=FALLBACK))
    assert out == [commands.OpenConnection(1, FALLBACK, "h-a", moved=True)]
    assert life.standing.model == FALLBACK


def test_handle_is_tried_once() -> None:
    """Then the session is filled anew at once."""
    life, _ = taking_up()
    assert dial(fail(life, 1, START_S + 0.3, REFUSED)) == commands.OpenConnection(
        2, MODEL, None, moved=True
    )


def test_handle_that_no_server_has_seen_is_tried_again() -> None:
    """The network was away; between two tries yet another worker may have it."""
    life, _ = taking_up()
    handles = [life.standing.handle]
    assert dial(fail(life, 1, START_S + 0.3)).handle == "h-a"
    assert fail(life, 2, START_S + 0.6) == []
    assert life.standing.handle_s == START_S - ELAPSED_S + 90.0
    assert [*handles, life.standing.handle] == [None, "h-a"]


# -- what is said first ----------------------------------------------------------------------------


def test_quiet_call_is_taken_up_without_a_word() -> None:
    """Nothing is said to the model, and nobody waits for it."""
    life, out = serving()
    assert texts(out) == []
    assert run(life, START_S + 0.5, START_S + 20.0) == []


def test_rest_of_an_answer_is_asked_for() -> None:
    """Once; a resumed session has had its first words."""
    life, out = serving(REST)
    (told,) = (item for item in out if isinstance(item, commands.SendText))
    assert told == commands.SendText("Go on.")
    assert life.standing.generating, "until its voice is back"
    answer(life, START_S + 1.5, handle="h-b")
    assert not life.standing.generating


def test_fresh_session_is_told_in_its_first_message() -> None:
    """Some models take that in a message of its own."""
    life, _ = taking_up(ANSWER, replace(CHECKPOINT, handle=None))
    assert commands.SendText(WAITING, opening=True) in opened(life, 1, START_S + 0.5)


def test_caller_who_speaks_by_then_is_answered_instead() -> None:
    """They are past what was cut."""
    for opening in (REST, ANSWER):
        life, _ = taking_up(opening)
        ask(life, START_S)
        life.receive(Opened(1), START_S + 2.0)
        assert take_all(life)
        life.receive(CaughtUp(), START_S + 2.1)
        assert not life.standing.generating
        assert life.standing.answer_due


def test_notice_is_told_whoever_speaks() -> None:
    """Nobody answered the transfer: the caller asks for it."""
    life, _ = taking_up(Opening("Be kind.", nudge="Nobody answered."))
    ask(life, START_S)
    assert texts(life.receive(Opened(1), START_S + 2.0)) == ["Nobody answered."]


def test_what_was_owed_is_said_again_after_another_loss() -> None:
    """Until it was answered."""
    life, _ = serving(ANSWER)
    life.receive(events.ConnectionLost(1006, ""), START_S + 0.8)
    out = closed(life, START_S + 0.9) or run(life, START_S + 0.9, START_S + 2.0)[0][2]
    assert texts(opened(life, dial(out).attempt, START_S + 2.0)) == [WAITING]


def test_another_worker_finds_what_this_one_had_no_time_to_say() -> None:
    """It was lost before a connection came up."""
    for owed, flags in (
        (Owed.NOTHING, (False, False, False)),
        (Owed.REST, (True, False, False)),
        (Owed.QUESTION, (False, True, False)),
        (Owed.ANSWER, (False, False, True)),
    ):
        life, _ = taking_up(replace(QUIET, owed=owed, nudge="Now."))
        stands = life.standing
        assert (stands.generating, stands.caller_speaking, stands.answer_due) == flags


def test_session_that_has_lost_its_memory_is_noticed_as_it_greets() -> None:
    """And is filled anew before anybody hears it."""
    life, _ = serving(ANSWER)
    life.receive(AUDIO, START_S + 1.0)
    life.receive(events.OutputTranscribed("Hello, the bakery here."), START_S + 1.0)
    assert life.tick(START_S + 1.0, pending_ms=0.0) == GreetsAgain()


def test_session_that_hears_and_never_speaks_is_noticed_soon() -> None:
    """A poisoned handle: it has to prove itself like any that was moved to."""
    life, _ = serving()
    now = ask(life, START_S + 2.0)
    brought = run(life, now, now + PROOF_S + 1)
    assert any(isinstance(event, AnswerOverdue) for _, event, _ in brought)


# -- its report ------------------------------------------------------------------------------------


def test_first_connection_is_reported_as_a_move() -> None:
    """Cause, kind and times, so that what a takeover costs is seen."""
    _, out = serving()
    found = report(out)
    assert (found.cause, found.kind) == (MoveCause.TAKEOVER, MoveKind.RESUME)
    assert found.moment is MoveMoment.ABRUPT
    assert found.wanted_s == found.left_s == pytest.approx(ELAPSED_S)
    assert found.done_s == pytest.approx(ELAPSED_S + 0.5)
    assert (found.gap_ms, found.tries, found.model) == (0, 1, MODEL)
    assert "handle was 10.0 s old" in found.detail


def test_report_counts_the_gap_where_something_was_owed() -> None:
    """From the start of this stream until the agent goes on."""
    life, out = serving(REST)
    assert not any(isinstance(item, ReportMove) for item in out)
    life.receive(events.OutputTranscribed("at seven in the morning."), START_S + 1.4)
    found = report(life.receive(AUDIO, START_S + 1.5))
    assert found.gap_ms == pytest.approx(1_500)


def test_failed_resume_is_reported_as_a_refill() -> None:
    """With both tries."""
    life, _ = taking_up()
    fail(life, 1, START_S + 0.3, REFUSED)
    found = report(opened(life, 2, START_S + 0.9))
    assert (found.cause, found.kind, found.tries) == (MoveCause.TAKEOVER, MoveKind.REFILL, 2)


def test_caller_who_hangs_up_meanwhile_ends_it_with_a_report() -> None:
    """Of a connection that never came."""
    life, _ = taking_up()
    out = life.receive(EndRequested(EndReason.CALLER_HUNG_UP), START_S + 0.2)
    assert report(out).kind is None
    assert life.state is State.ENDED

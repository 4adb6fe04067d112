"""What is kept of a session's context."""

from __future__ import annotations

from agent import commands, events
from agent.context.budget import ContextBudget
from agent.context.window import Window
from agent.conversation.prompt import Opening
from agent.conversation.record import CutRecord
from agent.live.context_notes import ContextNotes
from agent.live.lifecycle import Lifecycle
from agent.live.models import profile_for
from agent.live.session_events import CaughtUp, Opened, Started
from agent.spec import AgentSpec, Context
from tests.agent.live.lives import AUDIO


def filled(tokens: int) -> events.UsageReported:
    return events.UsageReported(tokens, 0, tokens)


def test_cut_is_kept_with_the_time_it_was_made() -> None:
    """It becomes known later, in the count of the turn before which it was made."""
    notes = ContextNotes(ContextBudget(Window(10_000)), lambda: 13.0)
    notes.cut(4_500, 1_600, ago_s=3.0)
    assert notes.record.cuts == [CutRecord(10.0, 4_500, 1_600)]


def test_cut_is_dated_to_the_beginning_of_its_turn() -> None:
    """The server cuts before it answers, but the count that shows it comes when it has answered."""
    life = Lifecycle(
        spec=AgentSpec(
            name="bakery",
            system_instruction="Be kind.",
            context=Context(trigger_tokens=4_000, target_tokens=2_000),
        ),
        opening=Opening("Be kind."),
        profiles=lambda name: profile_for(name, vertexai=False),
        now=0.0,
    )
    for event in (Started(), Opened(1), CaughtUp()):
        life.receive(event, 0.0)
    life.budget.connected(instruction="Be kind.", resumed=False)
    for turn in range(3):
        life.budget.text("word " * 1_200)
        life.receive(AUDIO, 5.0 + turn)
        life.receive(filled(1_500 * (turn + 1)), 5.5 + turn)
        life.receive(events.TurnCompleted(), 5.5 + turn)
    life.receive(AUDIO, 10.0)
    done = life.receive(filled(1_600), 13.0)
    assert [one.ago_s for one in done if isinstance(one, commands.NoteCut)] == [3.0]

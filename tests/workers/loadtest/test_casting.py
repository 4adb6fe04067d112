"""Who calls: shares, scripts, and that a call is the same whoever else calls."""

from __future__ import annotations

import dataclasses
from collections import Counter
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.loadtest.behaviour import HEARD_FIRST_MS, HELD_MS, QUESTION_MS, UNREAD_MS
from workers.loadtest.casting import (
    MOST_CALLS,
    Role,
    call_number,
    caller_number,
    cast,
    persona_of,
)
from workers.loadtest.plan import Arrivals, LineTrouble, LiveSide, Persona, Plan, Profile
from workers.twin import phone_audio, speech
from workers.twin.caller import (
    HangUp,
    HoldFrames,
    Press,
    ReadSlowly,
    Say,
    Speak,
    WaitAgentDone,
    WaitAgentSpoke,
    WaitAgentStarts,
    WaitSeconds,
    WaitStream,
)
from workers.twin.performer import KeyPressed, Performer, StepTimedOut

ALL = Plan(
    arrivals=Arrivals(Profile.SOAK, calls=20, hold_s=600.0),
    call_s=60.0,
    personas=dict.fromkeys(Persona, 1.0),
    lines=dict.fromkeys(LineTrouble, 0.5),
    seed=7,
)


def played_by(
    persona: Persona, *troubles: LineTrouble, live: LiveSide = LiveSide.TWIN
) -> list[Role]:
    """Twenty calls of one persona, all with these troubles."""
    plan = dataclasses.replace(
        ALL, personas={persona: 1.0}, lines=dict.fromkeys(troubles, 1.0), live=live
    )
    return [cast(plan, number, 0.0) for number in range(1, 21)]


def test_a_call_is_the_same_whoever_else_calls() -> None:
    """By seed and number alone: the order of casting changes nothing, nor that of the file."""
    forwards = [cast(ALL, number, 0.0) for number in range(1, 50)]
    backwards = [cast(ALL, number, 0.0) for number in range(49, 0, -1)]
    assert forwards == backwards[::-1]
    turned = dataclasses.replace(ALL, personas=dict(reversed(list(ALL.personas.items()))))
    assert [cast(turned, number, 0.0) for number in range(1, 50)] == forwards
    other = dataclasses.replace(ALL, seed=8)
    assert [cast(other, number, 0.0) for number in range(1, 50)] != forwards


def test_one_choice_does_not_change_another() -> None:
    """Another share of troubles leaves the personas as they were, another stay the troubles."""
    calm = dataclasses.replace(ALL, lines={}, call_s=10.0)
    for number in range(1, 100):
        assert persona_of(calm, number) == cast(ALL, number, 0.0).persona
        early, late = cast(ALL, number, 0.0), cast(ALL, number, 590.0)
        assert (early.persona, early.lines, early.from_) == (late.persona, late.lines, late.from_)


def test_weights_and_shares_are_kept() -> None:
    """A persona is as frequent as its weight, a trouble as its share, each by itself."""
    plan = dataclasses.replace(
        ALL,
        personas={Persona.TALK: 6, Persona.SILENT: 2, Persona.KEYS: 0},
        lines={LineTrouble.NOISY: 0.25, LineTrouble.JITTER: 1.0},
    )
    roles = [cast(plan, number, 0.0) for number in range(1, 1001)]
    personas = Counter(role.persona for role in roles)
    assert set(personas) == {Persona.TALK, Persona.SILENT}
    assert personas[Persona.TALK] == pytest.approx(750, abs=50)
    noisy = sum(LineTrouble.NOISY in role.lines for role in roles)
    assert noisy == pytest.approx(250, abs=50)
    assert all(LineTrouble.JITTER in role.lines for role in roles)
    assert all(role.script.noisy == (LineTrouble.NOISY in role.lines) for role in roles)


def test_callers_leave_with_the_test() -> None:
    """They stay as long as the plan says, or as there is left of the test or their spike."""
    assert cast(ALL, 1, 100.0).script.leaves_after_s == 60.0
    assert cast(ALL, 1, 580.0).script.leaves_after_s == 20.0
    spike = Arrivals(Profile.SPIKE, calls=9, spike_s=20.0, hold_s=100.0)
    plan = dataclasses.replace(ALL, arrivals=spike)
    assert cast(plan, 1, 45.0).script.leaves_after_s == 15.0
    assert cast(plan, 1, 61.0).script.leaves_after_s == 39.0


def test_every_call_has_a_number_of_its_own() -> None:
    """It is found again in what a model was told; a text without one is nobody's."""
    assert cast(ALL, 42, 0.0).from_ == "+15550000042"
    for number in (1, 42, MOST_CALLS):
        assert call_number(f"The caller's number is {caller_number(number)}. Be brief.") == number
    assert call_number("The caller's number is +49301234567.") is None
    for bad in (0, MOST_CALLS + 1):
        with pytest.raises(ValueError, match="calls are 1 to"):
            caller_number(bad)


@pytest.mark.parametrize("persona", Persona)
@pytest.mark.parametrize("live", LiveSide)
def test_a_script_begins_with_a_stream_and_ends_with_hanging_up(
    persona: Persona, live: LiveSide
) -> None:
    """Coded where the twin listens, else in recorded lines of a caller."""
    for role in played_by(persona, live=live):
        steps = role.script.steps
        assert (steps[0], steps[-1]) == (WaitStream(), HangUp())
        assert role.script.coded == (live is LiveSide.TWIN)
        lines = {step.what for step in steps if isinstance(step, Say)}
        assert lines <= {name for name in speech.names() if name.startswith("caller_")}
        assert role.lines == ()
        assert not any(isinstance(step, HoldFrames | ReadSlowly) for step in steps)


def test_talkers_hear_out_what_they_asked() -> None:
    """Question, answer, pause, for longer than they mean to stay."""
    for role in played_by(Persona.TALK):
        kinds = [type(step) for step in role.script.steps[2:-1]]
        exchange = [Speak, WaitAgentStarts, WaitAgentDone, WaitSeconds]
        assert kinds == exchange * (len(kinds) // 4)
        questions = [step.ms for step in role.script.steps if isinstance(step, Speak)]
        assert all(QUESTION_MS[0] <= ms <= QUESTION_MS[1] and ms % 20 == 0 for ms in questions)
        # Nobody is quicker: a question, its answer's first sounds, and being sure of its end.
        assert sum(questions) / 1000 + 0.74 * len(questions) > 60.0


def test_interrupters_speak_into_each_answer() -> None:
    """After a second or so of it."""
    for role in played_by(Persona.INTERRUPT):
        steps = role.script.steps[2:-1]
        assert [type(step) for step in steps[:5]] == [
            *(Speak, WaitAgentStarts, WaitAgentSpoke, Speak),
            WaitAgentStarts,
        ]
        heard = {step.ms for step in steps if isinstance(step, WaitAgentSpoke)}
        assert HEARD_FIRST_MS[0] <= min(heard) < max(heard) <= HEARD_FIRST_MS[1]


def test_silent_callers_say_nothing_for_as_long_as_they_stay() -> None:
    """Not a sound and not a key."""
    for role in played_by(Persona.SILENT):
        pauses = [step.seconds for step in role.script.steps if isinstance(step, WaitSeconds)]
        assert sum(pauses) == pytest.approx(60.0, abs=0.1)
        assert len(role.script.steps) == len(pauses) + 2


def test_keys_are_pressed_in_place_of_speaking() -> None:
    """Another number each time."""
    for role in played_by(Persona.KEYS):
        pressed = [step.digits for step in role.script.steps if isinstance(step, Press)]
        assert len(set(pressed)) > 5
        assert all(digits.isdecimal() for digits in pressed)
        assert not any(isinstance(step, Speak) for step in role.script.steps)


def test_some_leave_in_the_greeting_and_some_in_the_first_answer() -> None:
    """Whoever hangs up early does so while the agent speaks."""
    roles = played_by(Persona.EARLY)
    assert all(isinstance(role.script.steps[-2], WaitAgentSpoke) for role in roles)
    asked = [any(isinstance(step, Speak) for step in role.script.steps) for role in roles]
    assert 3 < sum(asked) < 17


def test_a_bad_line_is_bad_now_and_then() -> None:
    """Frames are withheld and not read, within bounds; never late at the end of a question."""
    for role in played_by(Persona.TALK, LineTrouble.JITTER, LineTrouble.SLOW_READER):
        steps = role.script.steps
        held = [step.ms for step in steps if isinstance(step, HoldFrames)]
        unread = [step.ms for step in steps if isinstance(step, ReadSlowly)]
        assert held
        assert unread
        assert HELD_MS[0] <= min(held) <= max(held) <= HELD_MS[1]
        assert UNREAD_MS[0] <= min(unread) <= max(unread) <= UNREAD_MS[1]
        spoken = [step.ms for step in steps if isinstance(step, Speak)]
        assert min(spoken) > 2 * HELD_MS[1]
        assert len(held) < len(spoken) * 2


@given(
    persona=st.sampled_from(Persona),
    number=st.integers(1, 1000),
    delay_ms=st.integers(0, 1000),
    answer_ms=st.integers(3000, 6000),
)
def test_every_caller_leaves_by_themselves(
    persona: Persona, number: int, delay_ms: int, answer_ms: int
) -> None:
    """Played on numbers for time, to an agent that answers: nobody loses patience, all hang up."""
    plan = dataclasses.replace(ALL, personas={persona: 1.0}, call_s=15.0)
    performer = Performer(cast(plan, number, 0.0).script)
    performer.answered = performer.streaming = True
    # The agent greets at once; after that, whatever it hears it answers from its beginning.
    begins_ms, asking = 0, False
    for now_ms in range(0, 40_000, 20):
        speaks = begins_ms <= now_ms < begins_ms + answer_ms
        frame = performer.tick(now_ms / 1000, partial(bool, speaks))
        doings = performer.take_doings()
        assert not any(isinstance(doing, StepTimedOut) for doing in doings)
        if any(isinstance(doing, HangUp) for doing in doings):
            assert now_ms <= 15_000 + delay_ms + answer_ms + QUESTION_MS[1] + 3000
            return
        asked = asking
        asking = phone_audio.is_loud(frame.ulaw) or any(
            isinstance(doing, KeyPressed) for doing in doings
        )
        if asked and not asking:
            begins_ms = now_ms + delay_ms
    raise AssertionError("nobody hung up")

"""What a count shows beside the size: cuts, foreseen or not, and the loss of memory."""

from __future__ import annotations

import pytest

from agent.context.budget import ContextBudget, Reported
from agent.context.window import Window
from tests.agent.context.counted import (
    INSTRUCTION,
    SMALL,
    WINDOW,
    connected,
    count,
    fixed_tokens,
    greeted,
    long_talk,
    to_the_trigger,
    turn,
)

# -- cuts --------------------------------------------------------------------------------------


def test_cut_is_foreseen_as_the_turn_begins() -> None:
    """Whole exchanges, oldest first, until at most the target; the count confirms it."""
    budget = to_the_trigger()
    before = budget.tokens
    assert before > 4_000
    budget.turn_begins()
    after = budget.tokens
    # The greeting has 100 tokens, an exchange 128 + 200.
    assert 2_000 - 328 < after <= 2_000
    assert (before - after - 100) % 328 == 0
    assert budget.reported(count(after + 1, 40)) == Reported(cut=(before, after + 1))
    assert budget.tokens == after + 41
    assert budget.most_tokens == before
    assert turn(budget).cut is None


def test_cut_that_did_not_come_is_taken_back() -> None:
    """The count says so; the next turn may bring it."""
    budget = to_the_trigger()
    before = budget.tokens
    budget.turn_begins()
    assert budget.reported(count(before, 40)) == Reported()
    assert budget.tokens == before + 40
    budget.turn_begins()
    assert budget.tokens <= 2_000


def test_what_is_never_cut_is_learned_from_what_a_cut_leaves() -> None:
    """Little by little; where much is left, the cut was made elsewhere."""
    for out, learned in ((60, 30), (-60, -30), (150, 0)):
        budget = to_the_trigger()
        budget.turn_begins()
        assert budget.reported(count(budget.tokens + out)).cut is not None
        assert fixed_tokens(budget) == 300 + learned


def test_result_of_a_function_does_not_make_the_server_late() -> None:
    """The turn began below the trigger: the next one is cut."""
    budget = long_talk(turns=10)
    budget.turn_begins()
    budget.text("r" * 2_800)
    before = budget.tokens
    assert before > 1.05 * 4_000
    assert budget.reported(count(before)) == Reported()
    budget.caller_audio(1_000)
    budget.turn_begins()
    assert budget.tokens <= 2_000


def test_server_that_cuts_late_is_believed() -> None:
    """Its count was over the trigger, and not for what the turn was told."""
    budget = long_talk(turns=10)
    budget.turn_begins()
    budget.text("r" * 8_000)
    before = budget.tokens
    budget.caller_audio(1_000)
    budget.turn_begins()
    assert budget.reported(count(before + 32)) == Reported()
    budget.caller_audio(1_000)
    budget.turn_begins()
    assert budget.tokens == before + 64


def test_cut_foreseen_for_a_lost_connection_did_not_come() -> None:
    """The handle is older than that."""
    budget = to_the_trigger()
    budget.handle_came()
    kept = budget.tokens - 128
    budget.turn_begins()
    assert budget.tokens <= 2_000
    budget.connected(instruction=INSTRUCTION, resumed=True)
    assert budget.tokens == kept
    budget.turn_begins()
    assert budget.reported(count(kept)) == Reported()
    assert budget.tokens == kept


def test_cut_that_nobody_foresaw_is_told() -> None:
    """We heard less than the server did."""
    budget = greeted(SMALL)
    while budget.tokens + 128 + 328 <= 4_000:
        turn(budget)
    turn(budget, heard_ms=(4_000 - budget.tokens) / 0.033)
    assert budget.tokens < 4_000 + 200
    budget.connected(instruction=INSTRUCTION, resumed=True)
    reported = turn(budget, heard_ms=0, prompt=1_900)
    assert reported.cut is not None
    assert reported.cut[1] == 1_900
    assert reported.forgot is None
    assert budget.tokens == 2_100


def test_nothing_is_cut_without_compression() -> None:
    """The estimate grows on."""
    budget = connected(Window(10_000))
    for _ in range(40):
        assert turn(budget) == Reported()
    assert budget.tokens > 10_000


# -- memory ------------------------------------------------------------------------------------


def resumed(before: int, instruction: str = INSTRUCTION) -> ContextBudget:
    budget = connected()
    budget.turn_begins()
    budget.reported(count(before))
    budget.handle_came()
    budget.connected(instruction=instruction, resumed=True)
    return budget


def forgot(budget: ContextBudget, *prompts: int) -> list[str | None]:
    found = []
    for prompt in prompts:
        if prompt > 0:
            budget.turn_begins()
        found.append(budget.reported(count(prompt)).forgot)
    return found


AMNESIA = "the prompt fell from 2758 to 351 tokens"


def test_collapsed_prompt_after_a_resume_is_amnesia() -> None:
    """From 2,758 to 351 tokens, as was seen; told once, and the count is believed."""
    budget = resumed(2_758)
    assert forgot(budget, 351, 360) == [AMNESIA, None]
    assert budget.tokens == 360


def test_prompt_that_stays_is_a_memory() -> None:
    """Compression may halve it."""
    assert forgot(resumed(2_758), 1_380) == [None]
    assert forgot(resumed(2_758), 2_900) == [None]


def test_samples_without_a_prompt_tell_nothing() -> None:
    """3.1 reports per chunk of audio; the first sample with a prompt counts."""
    assert forgot(resumed(2_758), 0, -1, 351) == [None, None, AMNESIA]


def test_later_fall_is_compression() -> None:
    """Only the first sample after a resume is held against the one before."""
    assert forgot(resumed(2_758), 2_800, 300) == [None, None]


def test_fresh_session_has_nothing_to_lose() -> None:
    """Its prompt is short by nature, and is what the next resume is held against."""
    budget = resumed(2_758)
    budget.connected(instruction=INSTRUCTION, resumed=False)
    assert forgot(budget, 351) == [None]
    budget.handle_came()
    budget.connected(instruction=INSTRUCTION, resumed=True)
    assert forgot(budget, 340) == [None]


def test_refill_that_was_never_counted_cannot_be_judged() -> None:
    """Counts of the session before it tell nothing of it."""
    budget = resumed(2_758)
    budget.connected(instruction="i" * 8_000, resumed=False)
    budget.handle_came()
    budget.connected(instruction="i" * 8_000, resumed=True)
    assert forgot(budget, 351) == [None]


def test_session_that_was_never_counted_cannot_be_judged() -> None:
    """What it should hold is our own guess."""
    budget = connected()
    budget.caller_audio(300_000)
    budget.turn_begins()
    budget.handle_came()
    budget.connected(instruction=INSTRUCTION, resumed=True)
    assert forgot(budget, 400) == [None]


def test_speech_that_was_never_counted_is_not_missed() -> None:
    """Music on hold may be speech to us and nothing to the server; answers may be cut off."""
    for heard_ms, said_ms in ((300_000, 0), (0, 300_000)):
        budget = long_talk(WINDOW)
        counted = budget.tokens
        budget.caller_audio(heard_ms)
        budget.turn_begins()
        budget.model_audio(said_ms)
        budget.turn_begins()
        budget.handle_came()
        budget.connected(instruction=INSTRUCTION, resumed=True)
        assert forgot(budget, counted) == [None]


def test_short_prompt_is_instruction_and_little_else() -> None:
    """Nothing is to be concluded from it."""
    assert forgot(resumed(299), 60) == [None]


def test_two_moves_without_a_sample_between_still_tell() -> None:
    """What the prompt was before the first counts."""
    budget = resumed(2_758)
    budget.connected(instruction=INSTRUCTION, resumed=True)
    assert forgot(budget, 351) == [AMNESIA]


def test_old_handle_is_held_against_its_own_time() -> None:
    """It restores less than there was at the end, and that is no amnesia."""
    budget = long_talk()
    budget.handle_came()
    early = budget.tokens
    for _ in range(10):
        turn(budget)
    budget.connected(instruction=INSTRUCTION, resumed=True)
    assert early < 0.4 * 4_000
    assert forgot(budget, early) == [None]


def test_conversation_is_missed_beside_a_long_instruction() -> None:
    """A summary and facts would hide its loss from the prompt as a whole."""
    budget = ContextBudget(WINDOW)
    budget.connected(instruction="i" * 12_000, resumed=False)
    turn(budget)
    for _ in range(6):
        turn(budget)
    budget.handle_came()
    budget.connected(instruction="i" * 12_100, resumed=True)
    assert forgot(budget, 3_100) != [None]


@pytest.mark.parametrize("chars", [1_200, 8_000])
def test_cut_right_after_a_resume_is_no_amnesia(chars: int) -> None:
    """Down to a tenth of the trigger, as the agent's file wants it."""
    budget = to_the_trigger(WINDOW)
    budget.handle_came()
    before = budget.tokens
    budget.connected(instruction="i" * chars, resumed=True)
    budget.caller_audio(4_000)
    budget.turn_begins()
    reported = budget.reported(count(9_700))
    assert reported.forgot is None
    assert reported.cut is not None
    assert reported.cut[0] == pytest.approx(before, rel=0.05)


def test_amnesia_where_a_cut_was_due_is_seen() -> None:
    """It leaves less than the cut would: the instruction and what was asked."""
    budget = to_the_trigger(WINDOW)
    budget.handle_came()
    budget.connected(instruction=INSTRUCTION, resumed=True)
    budget.caller_audio(4_000)
    budget.turn_begins()
    reported = budget.reported(count(430))
    assert reported.cut is None
    assert reported.forgot is not None
    assert reported.forgot.endswith(" to 430 tokens")
    budget.turn_begins()
    assert budget.reported(count(450)) == Reported()

"""Sessions that came back without their memory, by the first count alone."""

from __future__ import annotations

from agent.context.memory import forgotten


def judge(
    prompt: int,
    *,
    fixed: float = 200,
    restored: float = 2_558,
    asked: float = 60,
    doubt: float = 0,
    after_cut: float | None = None,
) -> str | None:
    return forgotten(
        prompt,
        fixed=fixed,
        doubt=doubt,
        restored=restored,
        asked=asked,
        after_cut=after_cut,
    )


def test_collapsed_prompt_is_amnesia() -> None:
    """From 2,758 to 351 tokens, as was seen."""
    assert judge(351) == "the prompt fell from 2758 to 351 tokens"


def test_prompt_that_stays_is_a_memory() -> None:
    """Compression may halve it, and the caller may have said something."""
    assert judge(1_380) is None
    assert judge(2_900) is None


def test_short_prompt_is_instruction_and_little_else() -> None:
    """Nothing is to be concluded from it."""
    assert judge(60, fixed=200, restored=99) is None
    assert judge(60, fixed=200, restored=100) is not None


def test_conversation_is_missed_beside_a_long_instruction() -> None:
    """A summary and facts make up for two fifths of what was there."""
    assert judge(3_000 + 60, fixed=3_000, restored=2_000) is not None
    assert judge(3_000 + 810, fixed=3_000, restored=2_000) is None
    assert judge(3_000 + 60, fixed=3_000, restored=299) is None


def test_new_instruction_may_explain_what_is_missing() -> None:
    """Nobody has counted it yet; it may be shorter in tokens than in characters."""
    assert judge(2_500, fixed=3_000, restored=400, doubt=1_000) is None
    assert judge(2_500, fixed=3_000, restored=400, doubt=500) is not None


def test_cut_down_to_the_target_is_no_amnesia() -> None:
    """However much lower than the trigger the target is."""
    assert judge(9_700, restored=99_800, after_cut=9_700) is None
    assert judge(9_100, restored=99_800, after_cut=9_700) is None
    assert judge(2_000, restored=99_800, after_cut=9_700) is None


def test_amnesia_where_a_cut_was_due_is_seen_by_what_is_left() -> None:
    """Not even the target: the instruction and what was asked."""
    assert judge(262, restored=99_800, after_cut=9_700) is not None


def test_cut_that_leaves_nothing_is_not_to_be_told_from_amnesia() -> None:
    """And does the same: no alarm."""
    assert judge(262, restored=99_800, after_cut=260) is None

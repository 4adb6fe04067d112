"""The size of the context between counts, what the counts show, and what is to be done about it."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.context.budget import START_TOKENS_PER_S, ContextBudget, Fill, Reported
from agent.context.window import Window
from agent.events import UsageReported
from tests.agent.context.model_server import LongCall, Talk

SEED = int(os.environ.get("BUDGET_SEED", "0")) or random.SystemRandom().randrange(1, 2**31)
INSTRUCTION = "x" * 1_200
"""300 tokens."""
WINDOW = Window(131_072, 100_000, 10_000)
SMALL = Window(10_000, 4_000, 2_000)
TOSS_UP = 60.0
"""Tokens: two seconds of speech. So near the trigger, or the target, nobody knows how it went."""


def count(prompt: int, response: int = 0) -> UsageReported:
    return UsageReported(prompt, response, prompt + response)


def connected(window: Window = WINDOW, instruction: str = INSTRUCTION) -> ContextBudget:
    budget = ContextBudget(window)
    budget.connected(instruction=instruction, resumed=False)
    return budget


def turn(
    budget: ContextBudget,
    *,
    heard_ms: float = 4_000,
    said_ms: float = 8_000,
    rates: tuple[float, float] = (32, 25),
    prompt: int | None = None,
) -> Reported:
    """One exchange with its count; ``prompt`` is what it says of the context if all is right."""
    right = budget.tokens + round(heard_ms * rates[0] / 1000)
    budget.caller_audio(heard_ms)
    budget.turn_begins()
    budget.model_audio(said_ms)
    return budget.reported(
        count(right if prompt is None else prompt, round(said_ms * rates[1] / 1000))
    )


def greeted(window: Window = WINDOW) -> ContextBudget:
    """The model has greeted the caller, in 100 tokens."""
    budget = connected(window)
    turn(budget, heard_ms=0, said_ms=4_000)
    return budget


def long_talk(window: Window = SMALL, turns: int = 2) -> ContextBudget:
    budget = greeted(window)
    for _ in range(turns):
        turn(budget)
    return budget


# -- a long call -------------------------------------------------------------------------------

RATES = [(25.0, 25.0), (32.0, 32.0), (32.0, 25.0), (25.0, 32.0)]
CUT_OFTEN = [Window(10_000, 8_000, 4_000), Window(32_768, 20_000, 10_000)]
NEVER_CUT = Window(262_144)


def long_calls(window: Window, rates: tuple[float, float], talk: Talk) -> list[LongCall]:
    calls = [LongCall(SEED + number, window, rates, talk) for number in range(2)]
    for call in calls:
        call.run()
        assert call.moves == 9
        print(
            f"seed {call.seed}: {len(call.misses)} of {call.moments} moments are more than a tenth "
            f"out, in {len(call.missed_turns())} of {call.turns} turns, {call.cuts} cuts; "
            f"elsewhere at most {call.worst:.3f}"
        )
    return calls


@pytest.mark.parametrize("rates", RATES)
def test_estimate_is_within_a_tenth_at_every_moment_of_a_long_call(
    rates: tuple[float, float],
) -> None:
    """Moves, refills, interruptions, keys and functions included; 10 times a second."""
    for call in long_calls(NEVER_CUT, rates, Talk(uncounted=0.0)):
        assert call.misses == []
        assert call.budget.caller_tokens_per_s == pytest.approx(rates[0], rel=0.04)
        assert call.budget.model_tokens_per_s == pytest.approx(rates[1], rel=0.01)
        assert call.forgot == []
        assert call.cuts_seen == []


@pytest.mark.parametrize("rates", RATES)
@pytest.mark.parametrize("window", CUT_OFTEN, ids=["8k", "20k"])
def test_cuts_are_foreseen_unless_they_are_a_toss_up(
    window: Window, rates: tuple[float, float]
) -> None:
    """Then the estimate is more than a tenth out until the turn's count, and no longer."""
    for call in long_calls(window, rates, Talk(uncounted=0.0)):
        assert call.cuts > 5
        assert [miss for miss in call.misses if miss.margin > TOSS_UP] == []
        assert len(call.missed_turns()) <= max(2, 0.1 * call.cuts)
        assert len(call.misses) < 0.02 * call.moments
        assert call.forgot == []
        # Each is told, but for one whose turn the call's end or a move left without a count.
        assert call.cuts - 1 <= len(call.cuts_seen) <= call.cuts


def test_turns_without_a_count_are_made_up_for() -> None:
    """A server that ends interrupted turns silently; a line with noise; tools counted by it."""
    talk = Talk(interrupted=0.3, uncounted=0.8, view_ms=80, noise=0.1, tools_tokens=120)
    for call in long_calls(CUT_OFTEN[0], (32.0, 25.0), talk):
        assert len(call.misses) < 0.05 * call.moments
        assert call.forgot == []


@pytest.mark.parametrize("hears_more_ms", [300.0, 1_000.0])
def test_silence_that_the_server_counts_as_speech_is_learned(hears_more_ms: float) -> None:
    """It waits so long for the end of the caller's turn; ours ends sooner."""
    for call in long_calls(CUT_OFTEN[1], (25.0, 25.0), Talk(hears_more_ms=hears_more_ms)):
        assert call.budget.caller_tokens_per_s > 25.5
        assert len(call.misses) < 0.02 * call.moments


def test_interrupted_answers_that_the_server_forgets_do_no_harm() -> None:
    """Their rest is in no prompt; the caller's rate is not learned from that."""
    for call in long_calls(NEVER_CUT, (32.0, 25.0), Talk(keeps=0.4, interrupted=0.3)):
        assert call.budget.caller_tokens_per_s == pytest.approx(32.0, rel=0.1)
        # While the context is small, an answer of which little stays is much of it.
        assert len(call.misses) < 0.03 * call.moments


# -- between counts ----------------------------------------------------------------------------


def test_before_the_first_count_there_is_an_estimate() -> None:
    """Instruction at four characters a token, speech at a rate between those that are about."""
    budget = connected()
    assert budget.tokens == 300
    budget.text("y" * 40)
    budget.caller_audio(2_000)
    budget.turn_begins()
    budget.model_audio(500)
    assert budget.tokens == round(310 + 2.5 * START_TOKENS_PER_S)
    assert budget.most_tokens == budget.tokens


def test_prompt_and_answer_of_a_count_are_the_context() -> None:
    """Whatever was estimated before."""
    budget = connected()
    budget.caller_audio(9_000)
    budget.turn_begins()
    budget.model_audio(7_000)
    assert budget.reported(count(777, 123)) == Reported()
    assert budget.tokens == 900


def test_speech_since_the_turn_began_is_not_in_its_prompt() -> None:
    """It comes on top: the caller interrupts, and the count is of what was before."""
    budget = long_talk()
    budget.turn_begins()
    budget.model_audio(4_000)
    budget.caller_audio(1_000)
    budget.reported(count(1_000, 100))
    assert budget.tokens == 1_132


def test_words_told_in_the_course_of_a_turn_are_in_its_prompt() -> None:
    """A function's result; what is told after it is not."""
    budget = connected()
    budget.caller_audio(1_000)
    budget.turn_begins()
    budget.text("z" * 400)
    assert budget.tokens == 428
    budget.reported(count(440, 60))
    assert budget.tokens == 500
    budget.text("z" * 400)
    assert budget.tokens == 600


def test_counts_of_pieces_tell_nothing_of_the_size() -> None:
    """3.1 counts each piece of audio with a prompt of 0; their sum is the answer's size."""
    budget = connected()
    budget.turn_begins()
    for _ in range(10):
        budget.model_audio(400)
        assert budget.reported(count(0, 10)) == Reported()
    assert budget.tokens == round(300 + 4 * START_TOKENS_PER_S)
    budget.reported(count(350, 10))
    assert budget.tokens == 450
    assert budget.model_tokens_per_s == 25.0


def test_last_count_of_pieces_may_be_of_the_whole_answer() -> None:
    """Then their roundings are of no account."""
    budget = connected()
    budget.turn_begins()
    for _ in range(10):
        budget.model_audio(60)
        budget.reported(count(0, 2))
    budget.reported(count(350, 15))
    assert budget.tokens == 365


@pytest.mark.parametrize("response", [0, -3, 1, 4_000])
def test_answer_that_is_counted_wrongly_is_estimated(response: int) -> None:
    """Or not counted at all: its audio was heard."""
    budget = connected()
    budget.turn_begins()
    budget.model_audio(4_000)
    budget.reported(count(350, response))
    assert budget.tokens == round(350 + 4 * START_TOKENS_PER_S)


def test_answer_without_audio_is_as_counted() -> None:
    """Text alone."""
    budget = connected()
    budget.turn_begins()
    budget.reported(count(350, 40))
    assert budget.tokens == 390


def test_turn_that_is_counted_twice_counts_once() -> None:
    """With the call of a function, and at its end."""
    budget = long_talk()
    before = budget.tokens
    budget.caller_audio(1_000)
    budget.turn_begins()
    budget.model_audio(2_000)
    budget.reported(count(before + 32, 50))
    budget.text("r" * 80)
    budget.model_audio(4_000)
    budget.reported(count(before + 32 + 50 + 20, 100))
    assert budget.tokens == before + 202


@pytest.mark.parametrize("heard_by_then", [True, False])
def test_turn_that_nobody_told_of_is_taken_from_its_count(heard_by_then: bool) -> None:
    """By its size it is seen whether the caller's speech is in it."""
    budget = long_talk(turns=4)
    before = budget.tokens
    budget.caller_audio(10_000)
    budget.model_audio(2_000)
    budget.reported(count(before + (320 if heard_by_then else 0), 50))
    assert budget.tokens == before + 370


def test_rates_are_learned_from_counts() -> None:
    """The caller's from the second on: the first one tells how large the rest is."""
    budget = connected()
    turn(budget, rates=(26, 31))
    assert budget.caller_tokens_per_s == START_TOKENS_PER_S
    assert budget.model_tokens_per_s == 31
    turn(budget, rates=(26, 31))
    assert budget.caller_tokens_per_s == 26
    budget.caller_audio(10_000)
    before = budget.tokens
    budget.model_audio(10_000)
    assert budget.tokens == before + 310


def test_audio_that_is_hardly_counted_keeps_the_rate_in_bounds() -> None:
    """One token for 5.5 s was reported; the prompt is right all the same."""
    budget = long_talk()
    for _ in range(20):
        turn(budget, heard_ms=5_500, rates=(0.2, 25))
    assert 5 <= budget.caller_tokens_per_s <= 32


def test_rate_is_not_learned_from_words() -> None:
    """Nobody knows how the server counts them."""
    budget = long_talk()
    before = budget.caller_tokens_per_s
    for _ in range(10):
        budget.text("k" * 400)
        turn(budget, heard_ms=2_000, prompt=budget.tokens + 100)
    assert budget.caller_tokens_per_s == before


def test_tools_that_only_the_server_counts_stay_counted() -> None:
    """They are declared again on each connection; the first count tells what they are."""
    budget = connected()
    budget.turn_begins()
    budget.reported(count(800))
    budget.connected(instruction=INSTRUCTION + "s" * 400, resumed=False)
    assert budget.tokens == 900


# -- connections -------------------------------------------------------------------------------


def test_resume_restores_what_was_there_when_the_handle_came() -> None:
    """What was said since is gone, and what the caller was saying then."""
    budget = long_talk(turns=3)
    kept = budget.tokens
    budget.caller_audio(700)
    budget.handle_came()
    turn(budget)
    turn(budget)
    budget.connected(instruction=INSTRUCTION, resumed=True)
    assert budget.tokens == kept
    budget.caller_audio(700)
    assert budget.tokens == kept + 22


def test_resume_brings_its_own_instruction() -> None:
    """In the place of the old one."""
    budget = long_talk(turns=3)
    budget.handle_came()
    kept = budget.tokens
    for chars, more in ((2_000, 200), (400, -200), (1_200, 0)):
        budget.connected(instruction="i" * chars, resumed=True)
        assert budget.tokens == kept + more


def test_handle_may_serve_again() -> None:
    """Another connection by the same handle begins where the first one did."""
    budget = long_talk(turns=3)
    budget.handle_came()
    kept = budget.tokens
    for _ in range(3):
        budget.connected(instruction=INSTRUCTION, resumed=True)
        assert budget.tokens == kept
        turn(budget)


def test_fresh_session_holds_instruction_and_seed() -> None:
    """Nothing else; the handle of the one before is of no use to it."""
    budget = long_talk(turns=3)
    budget.handle_came()
    most = budget.most_tokens
    budget.connected(instruction="i" * 2_000, resumed=False, seed=["s" * 400, "t" * 200])
    assert budget.tokens == 650
    assert budget.most_tokens == most
    budget.connected(instruction="i" * 2_000, resumed=True)
    assert budget.tokens == 650


def test_seed_is_cut_one_text_after_the_other() -> None:
    """It is the oldest part of the conversation."""
    budget = ContextBudget(Window(10_000, 1_000, 700))
    budget.connected(instruction="i" * 400, resumed=False, seed=["s" * 1_200] * 3)
    budget.text("u" * 80)
    budget.turn_begins()
    assert budget.tokens == 420


def test_first_count_of_a_refill_corrects_instruction_and_seed_alike() -> None:
    """Both are words that nobody has counted: what is cut later takes its own share with it."""
    budget = ContextBudget(Window(10_000, 2_000, 500))
    budget.connected(instruction="i" * 800, resumed=False, seed=["s" * 1_600])
    budget.turn_begins()
    budget.reported(count(900))
    budget.text("u" * 4_800)
    budget.turn_begins()
    assert budget.tokens == 300 + 1_200


def test_instruction_may_change_on_a_living_connection() -> None:
    """``contextUpdate``: the conversation stays."""
    budget = long_talk(turns=3)
    before = budget.tokens
    budget.instruction_changed(INSTRUCTION + "m" * 400)
    assert budget.tokens == before + 100


# -- cuts --------------------------------------------------------------------------------------


def to_the_trigger(window: Window = SMALL) -> ContextBudget:
    """Talk until the next turn is over the trigger, and begin that."""
    budget = greeted(window)
    trigger = window.trigger_tokens
    assert trigger is not None
    while budget.tokens + 128 <= trigger:
        turn(budget)
    budget.caller_audio(4_000)
    return budget


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


def test_session_that_was_never_counted_cannot_be_judged() -> None:
    """What it should hold is our own guess."""
    budget = connected()
    budget.caller_audio(300_000)
    budget.turn_begins()
    budget.handle_came()
    budget.connected(instruction=INSTRUCTION, resumed=True)
    assert forgot(budget, 400) == [None]


def test_speech_that_was_never_counted_is_not_missed() -> None:
    """Music on hold may be speech to us and nothing to the server."""
    budget = long_talk()
    counted = budget.tokens
    budget.caller_audio(300_000)
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


# -- what is to be done ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("window", "tokens", "fill"),
    [
        (Window(100_000, 80_000, 40_000), 67_999, Fill.EASY),
        (Window(100_000, 80_000, 40_000), 68_000, Fill.CUT_NEAR),
        (Window(100_000, 80_000, 40_000), 89_999, Fill.CUT_NEAR),
        (Window(100_000, 80_000, 40_000), 90_000, Fill.FULL),
        (Window(100_000), 89_999, Fill.EASY),
        (Window(100_000), 90_000, Fill.FULL),
        (Window(100_000, 100_000, 40_000), 89_999, Fill.CUT_NEAR),
        (Window(100_000, 100_000, 40_000), 90_000, Fill.FULL),
    ],
)
def test_fill_is_by_trigger_and_by_window(window: Window, tokens: int, fill: Fill) -> None:
    """A cut is near from 85 % of the trigger; 90 % of the window is full whatever was set."""
    budget = connected(window)
    budget.reported(count(tokens))
    assert budget.fill() is fill


def test_fill_counts_what_is_being_said() -> None:
    """Between counts, too."""
    budget = connected(Window(10_000))
    budget.reported(count(8_990))
    assert budget.fill() is Fill.EASY
    budget.caller_audio(1_000)
    assert budget.fill() is Fill.FULL


def talk_for(budget: ContextBudget, minutes: int) -> Sequence[float | None]:
    """Four exchanges a minute, 328 tokens each; asked after each of them."""
    left = []
    for number in range(4 * minutes):
        turn(budget)
        left.append(budget.left_s(number * 15.0))
    return left


def test_time_left_is_unknown_at_first_and_then_by_the_rate() -> None:
    """Until the trigger, or the window where there is none."""
    for window, limit in ((Window(131_072, 20_000, 9_000), 20_000), (Window(131_072), 131_072)):
        budget = connected(window)
        left = talk_for(budget, 6)
        assert left[:2] == [None, None]
        assert left[-1] == pytest.approx((limit - budget.tokens) / (4 * 328 / 60), rel=0.01)


def test_cuts_and_moves_are_no_growth() -> None:
    """The rate is that of the talk, whatever comes or goes beside it."""
    budget = connected(Window(10_000, 8_000, 7_000))
    talk_for(budget, 5)
    budget.left_s(300.0)
    budget.turn_begins()
    budget.connected(instruction="i" * 8_000, resumed=True)
    budget.left_s(301.0)
    budget.instruction_changed("i" * 2_000)
    budget.connected(instruction=INSTRUCTION, resumed=False, seed=["s" * 4_000])
    turn(budget)
    left = budget.left_s(315.0)
    assert left == pytest.approx((8_000 - budget.tokens) / (4 * 328 / 60), rel=0.1)


# -- whatever happens --------------------------------------------------------------------------

_MS = st.floats(0, 600_000)
_TEXT = st.text(max_size=40).flatmap(lambda text: st.just(text * 30))
_CALLS = st.one_of(
    st.tuples(st.just("connected"), st.booleans(), _TEXT, st.lists(_TEXT, max_size=3)),
    st.tuples(st.just("instruction_changed"), _TEXT),
    st.tuples(st.just("handle_came")),
    st.tuples(st.just("caller_audio"), _MS),
    st.tuples(st.just("model_audio"), _MS),
    st.tuples(st.just("text"), _TEXT),
    st.tuples(st.just("turn_begins")),
    st.tuples(st.just("left_s"), st.floats(-10, 10_000)),
    st.tuples(st.just("reported"), st.integers(-5, 200_000), st.integers(-5, 10_000)),
)
_WINDOWS = st.sampled_from(
    [WINDOW, SMALL, Window(131_072), Window(1_000, 1_000, 999), Window(5_000, 1_000, 1)]
)


@settings(max_examples=300, deadline=None)
@given(_WINDOWS, st.lists(_CALLS, max_size=40), st.integers(1, 200_000), st.integers(0, 5_000))
def test_any_order_of_calls_is_borne(
    window: Window, calls: list[tuple[object, ...]], prompt: int, response: int
) -> None:
    """Never negative, never an error, and right again with the next count."""
    budget = ContextBudget(window)
    for name, *arguments in calls:
        if name == "connected":
            resumed_, instruction, seed = arguments
            budget.connected(instruction=instruction, resumed=resumed_, seed=seed)  # type: ignore[arg-type]
        elif name == "reported":
            prompt_, response_ = arguments
            reported = budget.reported(count(prompt_, response_))  # type: ignore[arg-type]
            assert reported.cut is None or reported.cut[0] > reported.cut[1] >= 0
            assert reported.cut is None or reported.forgot is None
        else:
            left = getattr(budget, str(name))(*arguments)
            assert left is None or left >= 0
        assert 0 <= budget.tokens <= budget.most_tokens
        assert 5 <= budget.caller_tokens_per_s <= 100
        assert 5 <= budget.model_tokens_per_s <= 100
        assert budget.fill() in Fill
    budget.turn_begins()
    budget.reported(count(prompt, response))
    assert budget.tokens == prompt + response


def test_what_talk_has_added_knows_no_cut_and_no_instruction() -> None:
    """Whoever asks how much was said since a moment subtracts what it was then."""
    budget = greeted(SMALL)
    before = budget.added_tokens
    budget.instruction_changed(INSTRUCTION * 3)
    assert budget.added_tokens == pytest.approx(before)
    budget.text("x" * 400)
    assert budget.added_tokens == pytest.approx(before + 100, rel=0.05)
    budget.connected(instruction=INSTRUCTION, resumed=False)
    assert budget.added_tokens == pytest.approx(before + 100, rel=0.05)


def test_model_with_another_window_is_judged_by_it() -> None:
    """A session may move to a fallback model that holds less."""
    budget = greeted()
    budget.reported(count(28_000, 0))
    assert budget.fill() is Fill.EASY
    budget.window = Window(32_768, 30_000, 15_000)
    assert budget.window.window_tokens == 32_768
    assert budget.fill() is Fill.CUT_NEAR

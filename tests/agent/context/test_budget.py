"""The size of the context between counts, over connections, and what is to be done about it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.context.budget import START_TOKENS_PER_S, ContextBudget, Fill, Reported
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
    turn,
)

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


def test_first_audio_may_be_told_before_its_turn() -> None:
    """It is of the answer that begins, and its rate is learned from all of it."""
    budget = long_talk()
    before = budget.tokens
    for _ in range(20):
        budget.caller_audio(4_000)
        budget.model_audio(200)
        budget.turn_begins()
        budget.model_audio(800)
        before += 128
        budget.reported(count(before, 25))
        before += 25
    assert budget.model_tokens_per_s == 25
    assert budget.caller_tokens_per_s == 32


def test_pieces_of_an_answer_without_a_count_are_not_the_next_ones() -> None:
    """It was interrupted."""
    budget = connected()
    budget.turn_begins()
    budget.model_audio(4_000)
    budget.reported(count(0, 100))
    budget.turn_begins()
    budget.model_audio(1_000)
    budget.reported(count(0, 26))
    budget.reported(count(500, 2))
    assert budget.tokens == 526


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


def test_rate_is_not_learned_from_turns_with_functions() -> None:
    """Their results are words, too."""
    budget = long_talk()
    for _ in range(10):
        budget.caller_audio(2_000)
        budget.turn_begins()
        budget.text("r" * 400)
        budget.reported(count(budget.tokens + 100, 0))
    assert budget.caller_tokens_per_s == 32


def test_rate_is_not_learned_over_answers_without_a_count() -> None:
    """They were interrupted, and the server may have kept a part only."""
    budget = long_talk()
    for _ in range(10):
        before = budget.tokens
        budget.caller_audio(2_000)
        budget.turn_begins()
        budget.model_audio(6_000)
        budget.caller_audio(2_000)
        budget.turn_begins()
        budget.reported(count(before + 2 * 64 + 100))
    assert budget.caller_tokens_per_s == 32


def test_rate_is_learned_from_what_the_connection_heard() -> None:
    """Not from what was said to the one before, and lost with it."""
    budget = long_talk()
    budget.handle_came()
    for _ in range(8):
        budget.caller_audio(10_000)
        budget.turn_begins()
        budget.connected(instruction=INSTRUCTION, resumed=True)
        turn(budget, rates=(26, 25))
        budget.handle_came()
    assert budget.caller_tokens_per_s == 26


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


def test_handle_keeps_what_was_not_counted() -> None:
    """An answer whose turn ended without a count, and what the model was told after it."""
    budget = long_talk()
    before = budget.tokens
    budget.turn_begins()
    budget.model_audio(4_000)
    budget.handle_came()
    budget.connected(instruction=INSTRUCTION, resumed=True)
    assert budget.tokens == before + 100
    budget.text("r" * 200)
    budget.handle_came()
    budget.connected(instruction=INSTRUCTION, resumed=True)
    assert budget.tokens == before + 150


def test_turn_of_a_lost_connection_is_over() -> None:
    """The next count is not of it."""
    budget = long_talk()
    budget.handle_came()
    kept = budget.tokens
    budget.turn_begins()
    budget.connected(instruction=INSTRUCTION, resumed=True)
    budget.caller_audio(10_000)
    budget.model_audio(2_000)
    budget.reported(count(kept + 320, 50))
    assert budget.tokens == kept + 370


def test_new_instruction_is_corrected_by_the_first_count_after_the_resume() -> None:
    """It is likelier to be out than what the caller said."""
    budget = long_talk()
    budget.handle_came()
    budget.connected(instruction=INSTRUCTION + "s" * 2_000, resumed=True)
    turn(budget, heard_ms=1_000, prompt=budget.tokens + 32 + 53)
    assert budget.caller_tokens_per_s == 32
    assert fixed_tokens(budget) == 350


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
    budget = ContextBudget(Window(10_000, 2_000, 1_900))
    budget.connected(instruction="i" * 800, resumed=False, seed=["s" * 1_600, "t" * 800])
    budget.turn_begins()
    budget.reported(count(1_200))
    budget.text("u" * 3_600)
    budget.turn_begins()
    assert budget.tokens == 300 + 300 + 900


def test_instruction_of_a_refill_is_counted_anew() -> None:
    """Though it may be the same: another model may count it differently."""
    budget = greeted()
    budget.connected(instruction=INSTRUCTION, resumed=False, seed=["s" * 1_200])
    budget.turn_begins()
    budget.reported(count(700))
    assert fixed_tokens(budget) == 350


def test_instruction_may_change_on_a_living_connection() -> None:
    """``contextUpdate``: the conversation stays."""
    budget = long_talk(turns=3)
    before = budget.tokens
    budget.instruction_changed(INSTRUCTION + "m" * 400)
    assert budget.tokens == before + 100


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


PER_S = 4 * 328 / 60


def test_cuts_are_no_growth() -> None:
    """The rate is that of the talk."""
    budget = long_talk(Window(10_000, 4_000, 1_000))
    cuts, number = 0, 0
    while cuts < 3 or budget.tokens < 3_000:
        budget.left_s(number * 15.0)
        budget.caller_audio(4_000)
        budget.turn_begins()
        asked = budget.tokens
        budget.model_audio(8_000)
        cuts += budget.reported(count(asked, 200)).cut is not None
        number += 1
    left = budget.left_s(number * 15.0)
    assert left == pytest.approx((4_000 - budget.tokens) / PER_S, rel=0.01)


def test_lost_memory_is_no_growth() -> None:
    """What is said next takes as long as what was said before."""
    budget = long_talk(Window(10_000), turns=12)
    for number in range(12):
        turn(budget)
        budget.left_s(number * 15.0)
    budget.handle_came()
    budget.connected(instruction=INSTRUCTION, resumed=True)
    assert turn(budget, prompt=428).forgot is not None
    left = budget.left_s(12 * 15.0)
    assert left == pytest.approx((10_000 - budget.tokens) / PER_S, rel=0.01)


def test_moves_and_corrections_are_no_growth() -> None:
    """Instructions, seeds, tools that only the server counts: all that comes or goes beside it."""
    budget = connected(Window(10_000))
    budget.left_s(0.0)
    budget.turn_begins()
    budget.reported(count(1_300))
    for number in range(1, 12):
        turn(budget)
        budget.left_s(number * 15.0)
        if number == 4:
            budget.handle_came()
            budget.connected(instruction=INSTRUCTION + "i" * 4_000, resumed=True)
        if number == 5:
            budget.instruction_changed(INSTRUCTION)
        if number == 6:
            budget.connected(instruction=INSTRUCTION, resumed=False, seed=["s" * 4_000])
    left = budget.left_s(11 * 15.0)
    assert left == pytest.approx((10_000 - budget.tokens) / PER_S, rel=0.02)


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
    """Never negative, never an error, and right again with the counts that follow."""
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
    # An answer was perhaps under way, of which this count says nothing.
    budget.turn_begins()
    budget.reported(count(prompt, 0))
    assert budget.tokens >= prompt
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


def test_session_of_another_worker_holds_its_speech() -> None:
    """Which is estimated; the first count corrects that and not what is never cut."""
    budget = ContextBudget(SMALL)
    budget.connected(instruction=INSTRUCTION, resumed=False, restored=[30.0] * 3)
    assert budget.tokens == 300 + round(90 * START_TOKENS_PER_S)
    assert budget.talk_tokens == pytest.approx(90 * START_TOKENS_PER_S)
    budget.turn_begins()
    budget.reported(count(5_000))
    assert budget.tokens == 5_000
    assert budget.talk_tokens > 4_000
    budget.handle_came()
    budget.connected(instruction=INSTRUCTION, resumed=True)
    assert budget.tokens == 5_000
    assert fixed_tokens(budget) < 700

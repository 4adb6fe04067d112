"""How large the context may grow, when it is cut, and what is gone then; time is a number here."""

from __future__ import annotations

import random
from typing import Any

import pytest

from tests.workers.twin.live_api.table import HALF_CASCADE, V31, V38, VERTEX, Table
from workers.twin.live_api.compression import Compression
from workers.twin.live_api.memory import Line, Memory
from workers.twin.live_api.messages import (
    INVALID_ARGUMENT,
    ActivityStartIn,
    ContentIn,
    ContextUpdateIn,
    RefusedError,
    TextIn,
)
from workers.twin.live_api.profiles import profile_named
from workers.twin.live_api.quirks import Quirks
from workers.twin.live_api.script import LiveScript, Recall, Say, TextRule
from workers.twin.live_api.session_log import Keep
from workers.twin.live_api.setup import read_setup
from workers.twin.live_api.usage import Meter, Rates, Tokens

WINDOW = 1000
_ASKS = Recall(r"(?i)my name is ([A-Z]\w+ [A-Z]\w+)", "Your name is {1}.", "I do not know.")
_SCRIPT = LiveScript(
    texts=(TextRule("Who am I", (_ASKS,)),),
    otherwise=(Say("I see. Please go on, I have all the time in the world for you today."),),
)
_CHAT = LiveScript(otherwise=_SCRIPT.otherwise)
_INSTRUCTION = {"parts": [{"text": "You are a baker. " * 10}]}


def compressing(**sizes: int) -> dict[str, Any]:
    sliding = {"targetTokens": sizes["target"]} if "target" in sizes else {}
    trigger = {"triggerTokens": sizes["trigger"]} if "trigger" in sizes else {}
    return {"contextWindowCompression": {"slidingWindow": sliding} | trigger}


def session(**options: Any) -> Table:
    """A session of a scaled window, with an instruction of 42.5 tokens."""
    defaults: dict[str, Any] = {
        "script": _SCRIPT,
        "window_tokens": WINDOW,
        "systemInstruction": _INSTRUCTION,
    }
    return Table(**defaults | options)


def tell(table: Table, text: str = "There is more to tell.", *, times: int = 1) -> None:
    for _ in range(times):
        table.send(TextIn(text))
        table.run(15)


def words(table: Table) -> list[str]:
    return [text for _, text in table.log.memory]


# -- what a setup may ask for -------------------------------------------------------------------


def asked(model: str = V38, window: int | None = None, **compression: Any) -> Compression | None:
    raw = {"model": model, "contextWindowCompression": compression}
    vertex = model.startswith("publishers/")
    return read_setup(raw, vertex=vertex, window_tokens=window).compression


def test_sizes_that_are_not_asked_for_follow_from_the_window() -> None:
    """80 % of the window, and half of that; an unset number is 0 or null, a string is one too."""
    assert asked() == Compression(104_857, 52_428)
    assert asked(slidingWindow={}) == asked(triggerTokens=0, slidingWindow={"targetTokens": "0"})
    assert asked(HALF_CASCADE) == Compression(26_214, 13_107)
    assert asked(window=1000) == Compression(800, 400)
    assert asked(triggerTokens="10000") == Compression(10_000, 5000)
    assert asked(triggerTokens=10_000, slidingWindow={"targetTokens": "9999"}) == Compression(
        10_000, 9999
    )


def test_a_session_that_does_not_ask_is_not_compressed() -> None:
    """Its window is the model's."""
    setup = read_setup({"model": V38}, vertex=False)
    assert (setup.compression, setup.window_tokens) == (None, 131_072)
    assert read_setup({"model": HALF_CASCADE}, vertex=True).window_tokens == 32_768


@pytest.mark.parametrize(
    "compression",
    [
        {"triggerTokens": 131_073},
        {"triggerTokens": 1000, "slidingWindow": {"targetTokens": 1000}},
        {"triggerTokens": 1000, "slidingWindow": {"targetTokens": 2000}},
        {"slidingWindow": {"targetTokens": 104_857}},
        {"triggerTokens": -5},
        {"triggerTokens": 1000, "slidingWindow": {"targetTokens": "-1"}},
    ],
)
def test_sizes_that_do_not_fit_are_refused(compression: dict[str, Any]) -> None:
    """The target is below the trigger, the trigger is not over the window."""
    with pytest.raises(RefusedError) as refused:
        asked(**compression)
    assert refused.value.code == 1007


def test_an_instruction_over_the_window_is_refused() -> None:
    """There would be nothing to cut."""
    raw = {"model": V38, "systemInstruction": {"parts": [{"text": "x" * 4001}]}}
    assert read_setup(raw, vertex=False, window_tokens=1001).window_tokens == 1001
    with pytest.raises(RefusedError):
        read_setup(raw, vertex=False, window_tokens=1000)


def test_3_1_cuts_late_and_leaves_what_it_likes() -> None:
    """The target makes no difference to what is left (discuss.ai.google.dev/t/147228)."""
    assert profile_named("3.1").cuts_late > 2
    for target in (512, 8000):
        window = {"targetTokens": target}
        assert asked(V31, triggerTokens=25_000, slidingWindow=window) == Compression(71_000, 25_000)
    # It never waits for more than the window holds.
    assert asked(V31) == Compression(131_072, 104_857)


# -- what a cut takes ---------------------------------------------------------------------------


def test_a_cut_takes_whole_exchanges_from_the_oldest() -> None:
    """No more of them than the target needs; the newest stay as they were."""
    table = session(**compressing(trigger=400, target=250))
    for number in range(1, 10):
        tell(table, f"This is exchange {number} of many.")
    assert table.log.cuts
    first = table.log.cuts[0]
    assert first.before > 400
    assert first.after <= 250
    assert [role for role, _ in first.lines] == ["user", "model"] * (len(first.lines) // 2)
    assert first.lines[0] == ("user", "This is exchange 1 of many.")
    gone = [text for cut in table.log.cuts for role, text in cut.lines if role == "user"]
    left = [text for role, text in table.log.memory if role == "user"]
    assert gone + left == [f"This is exchange {n} of many." for n in range(1, 10)]
    assert table.log.memory[0][0] == "user"
    # One exchange less would have been too little.
    last_cut = len(first.lines) // 2
    answer = max(said.audio_ms for said in table.log.said[:last_cut]) * 25 / 1000
    assert first.after + answer + 10 > 250


def test_the_context_is_measured_before_a_turn_runs() -> None:
    """A turn at the trigger is not preceded by a cut, one over it is; nothing is cut in between."""
    for trigger, cut in ((142, False), (141, True)):
        table = session(**compressing(trigger=trigger, target=50), script=LiveScript(opening=()))
        table.send(ContentIn((("user", "y" * 200), ("model", "n" * 100)), False))
        table.send(TextIn("z" * 100))
        assert table.log.cuts == []
        assert table.log.context_tokens == 142
        table.run(1)
        assert bool(table.log.cuts) is cut


def test_the_turn_being_answered_is_never_cut() -> None:
    """However far away the target is; with text that waits behind it, neither."""
    table = session(**compressing(trigger=200, target=1), window_tokens=4000)
    tell(table, "The first. " * 10)
    tell(table, "The second. " * 60)
    assert words(table)[0] == ("The second. " * 60).strip()
    assert table.log.cuts[-1].after > 180
    manual = session(
        **compressing(trigger=200, target=1),
        window_tokens=4000,
        realtimeInputConfig={"activityHandling": "NO_INTERRUPTION"},
    )
    manual.send(TextIn("Go."))
    manual.run(1)
    for text in ("One. " * 100, "Two. " * 100):
        manual.send(TextIn(text))
    manual.run(5.5)
    assert len(manual.log.said) == 2
    assert [cut.lines[0] for cut in manual.log.cuts] == [("user", "Go.")]
    assert words(manual)[:1] == [("One. " * 100).strip()]


def test_what_is_left_begins_with_a_turn_of_the_user() -> None:
    """A result or an answer is never the oldest line (google-genai, SlidingWindow)."""
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rng = random.Random(seed)
    for _ in range(200):
        meter = Meter(vertex=False)
        memory = Memory([], meter)
        for _ in range(rng.randint(0, 40)):
            role = rng.choice(["user", "model", "tool", "system"])
            memory.written(role, "x" * rng.randint(1, 300))
        before, lines = meter.context_tokens, list(memory.lines)
        target = rng.randint(1, max(1, before))
        cut = memory.cut(target)
        assert cut + memory.lines == lines
        assert meter.context_tokens == pytest.approx(
            sum(line.tokens.total for line in memory.lines), abs=1
        )
        if cut:
            assert memory.lines[0].role == "user"
        starts = [line for line in memory.lines[1:] if line.role == "user"]
        assert meter.context_tokens <= target or not starts


def test_a_numbered_line_keeps_its_number_through_cuts() -> None:
    """What was asked before two cuts is still what is being answered."""
    memory = Memory([], Meter(vertex=False))
    for text in ("one", "two", "three"):
        memory.written("user", text * 40)
    asked_now = memory.written("user", "this")
    assert asked_now == 3
    memory.written("user", "later")
    assert len(memory.cut(90)) == 1
    assert [line.text[:4] for line in memory.cut(1, answering=asked_now)] == ["twot", "thre"]
    assert [line.text for line in memory.lines] == ["this", "later"]
    assert memory.written("user", "last") == 5


def test_the_instruction_is_never_cut() -> None:
    """Its size counts, and it stays."""
    table = session(**compressing(trigger=300, target=60))
    for _ in range(20):
        tell(table)
    assert len(table.log.cuts) > 3
    assert table.engine._memory.held[0] == _INSTRUCTION["parts"][0]["text"]
    assert table.log.usage[-1]["promptTokensDetails"][0]["tokenCount"] > 42


def test_a_cut_is_told_to_the_log_and_to_nobody_else() -> None:
    """The client sees a smaller prompt count, and that is all."""
    table = session(**compressing(trigger=400, target=200))
    while not table.log.cuts:
        table.said.clear()
        tell(table)
    cut = table.log.cuts[0]
    (note,) = table.log.noted("cut")
    assert note.at == cut.at
    assert note.detail == f"{cut.before} to {cut.after} tokens, {len(cut.lines)} lines"
    assert set(table.fields()) <= {
        "sessionResumptionUpdate",
        "interactionStatus",
        "modelTurn",
        "outputTranscription",
        "generationComplete",
        "turnComplete",
    }
    prompts = [usage["promptTokenCount"] for usage in table.log.usage]
    assert prompts[-1] == cut.after < prompts[-2]


def test_the_tokens_of_a_line_leave_with_it() -> None:
    """Speech of both sides and text: what is left is what the lines that are left weigh."""
    table = session(**compressing(trigger=500, target=300), script=_CHAT)
    for first in range(0, 4000, 400):
        table.coded(first)
        table.run(12)
        tell(table)
    assert len(table.log.cuts) > 2
    lines = sum(line.tokens.total for line in table.log.lines)
    assert table.log.context_tokens == pytest.approx(42.5 + lines, abs=1)
    assert all(line.tokens.audio for line in table.log.lines if line.role == "model")


# -- a full window ------------------------------------------------------------------------------


def test_without_compression_a_full_context_closes_the_session() -> None:
    """1007, as livekit reports it, in the middle of what filled it."""
    table = session()
    with pytest.raises(RefusedError) as refused:
        tell(table, times=50)
    assert (refused.value.code, refused.value.reason) == (1007, INVALID_ARGUMENT)
    assert table.log.cuts == []
    assert WINDOW < table.log.context_tokens < WINDOW + 10
    assert all(usage["promptTokenCount"] <= WINDOW for usage in table.log.usage)


def test_without_compression_one_message_may_be_too_much() -> None:
    """Text and instructions of any size are taken as long as there is room."""
    table = session()
    table.send(TextIn("x" * 3700))
    with pytest.raises(RefusedError):
        table.send(TextIn("x" * 200))
    with pytest.raises(RefusedError):
        session().send(ContentIn((("user", "x" * 4000),), False))
    with pytest.raises(RefusedError):
        session().send(ContextUpdateIn("x" * 4010))


def test_the_callers_audio_fills_the_context_too() -> None:
    """32 tokens a second of speech, as it is heard."""
    table = session(window_tokens=43 + 64)
    with pytest.raises(RefusedError):
        table.coded(0, frames=150)
    assert 1900 < table.engine.spoken_ms < 2200


def test_with_compression_a_context_passes_the_window_only_where_nothing_can_be_cut() -> None:
    """The turn being answered alone is too large: it is not run."""
    table = session(**compressing())
    for _ in range(30):
        tell(table)
    assert max(tokens for _, tokens in table.log.context) <= WINDOW
    table.send(TextIn("x" * 4000))
    with pytest.raises(RefusedError) as refused:
        table.run(1)
    assert refused.value.code == 1007


def test_a_resume_compresses_only_where_its_own_setup_says_so() -> None:
    """The configuration is sent again with every setup, and nothing of it is remembered."""
    old = session(**compressing(trigger=500, target=100))
    while not old.log.cuts:
        tell(old)
    while old.log.context_tokens <= 450:
        tell(old)
    handle = old.snapshots[-1]
    bare = session(snapshot=handle)
    assert bare.log.context_tokens == pytest.approx(old.log.context_tokens, abs=1)
    with pytest.raises(RefusedError):
        tell(bare, times=50)
    assert bare.log.cuts == []
    again = session(**compressing(trigger=500, target=100), snapshot=handle)
    for _ in range(3):
        tell(again)
    assert again.log.cuts
    assert again.log.cuts[0].lines[0] == (handle.lines[0].role, handle.lines[0].text)


def test_what_was_cut_is_in_no_handle_any_more() -> None:
    """A resume brings nothing back."""
    table = session(**compressing(trigger=400, target=100))
    tell(table, "My name is Ada Brook.")
    assert table.snapshots[-1].lines[0].text == "My name is Ada Brook."
    while not table.log.cuts:
        tell(table)
    new = session(snapshot=table.snapshots[-1])
    tell(new, "Who am I?")
    assert new.heard_text("outputTranscription").strip() == "I do not know."


# -- the size of the context over time -----------------------------------------------------------


def test_the_context_is_known_at_every_moment() -> None:
    """Instruction, what is being said, the answer produced so far: 32 and 25 tokens a second."""
    table = session(script=LiveScript(otherwise=(Say("coded:5000:4000"),), speed=1.0))
    assert table.log.context_tokens == 42
    table.coded(0, frames=100, quiet=0)
    assert table.log.context_tokens == pytest.approx(42.5 + 64, abs=1)
    table.hear(bytes(32_000))
    table.run(1.5)
    produced = table.log.said[0].audio_ms
    assert 1000 < produced < 2500
    (heard,) = table.log.lines
    assert heard.tokens.audio == pytest.approx(32 * 2.5, rel=0.02)
    assert table.log.context_tokens == pytest.approx(
        42.5 + heard.tokens.audio + produced * 25 / 1000, abs=1
    )


def test_the_context_is_known_while_the_client_marks_a_turn() -> None:
    """In manual mode too; audio outside an activity is dropped and weighs nothing."""
    manual = {"automaticActivityDetection": {"disabled": True}}
    table = session(realtimeInputConfig=manual)
    table.coded(0)
    table.send(ActivityStartIn())
    table.coded(100, frames=100, quiet=0)
    assert table.log.context_tokens == pytest.approx(42.5 + 64, abs=1)


def test_the_rates_are_those_of_the_server() -> None:
    """Each side has its own."""
    rates = Rates(caller_per_s=100.0, model_per_s=50.0)
    table = session(
        rates=rates, systemInstruction={}, script=LiveScript(otherwise=(Say("coded:0:2000"),))
    )
    table.coded(0, frames=50)
    table.run(20)
    user, model = table.log.lines
    assert user.tokens.audio == pytest.approx(100 * 1.5, rel=0.1)
    assert model.tokens.audio == pytest.approx(100)
    assert table.log.usage[0]["responseTokenCount"] == 100
    v31 = Table(model=V31, rates=rates)
    tell(v31)
    frames = [m["usageMetadata"] for _, m in v31.said if "modelTurn" in m.get("serverContent", {})]
    total = sum(one["responseTokenCount"] for one in frames)
    assert total == pytest.approx(v31.log.said[0].audio_ms / 20, rel=0.05)


def test_the_sizes_over_time_are_kept_at_the_ends_of_turns() -> None:
    """Each turn of either side has its samples; a cut has one before and one after."""
    table = session(**compressing(trigger=300, target=150), script=_CHAT)
    for first in range(0, 4000, 400):
        table.coded(first)
        table.run(12)
    log = table.log
    assert [at for at, _ in log.context] == sorted(at for at, _ in log.context)
    for cut in log.cuts:
        assert [tokens for at, tokens in log.context if at == cut.at] == [cut.before, cut.after]
    for turn in log.heard:
        assert turn.at in [at for at, _ in log.context]
    for said in log.said:
        assert said.completed_at in [at for at, _ in log.context]
    assert log.context[-1][1] == log.context_tokens


def test_a_log_keeps_as_many_sizes_as_it_was_told_to() -> None:
    """The newest size is known all the same."""
    table = session()
    table.log.keep = Keep(samples=3)
    for _ in range(4):
        tell(table)
    assert len(table.log.context) == 3
    assert table.log.context_tokens > table.log.context[-1][1]


def test_an_interrupted_answer_is_held_as_far_as_it_was_sent() -> None:
    """Its words are what was heard, its tokens what was produced, and usage says the same."""
    table = session(script=LiveScript(opening=(Say("agent_hours"),)))
    table.send(TextIn("hello"))
    table.run(1.5)
    table.send(TextIn("Stop!"))
    said = table.log.said[0]
    (line,) = [one for one in table.log.lines if one.role == "model"]
    assert line.tokens.audio == pytest.approx(said.audio_ms * 25 / 1000)
    assert table.log.usage[0]["responseTokenCount"] == round(line.tokens.audio)
    assert table.log.context_tokens == pytest.approx(
        42.5 + sum(one.tokens.total for one in table.log.lines), abs=1
    )


def test_audio_that_nobody_heard_a_word_of_weighs_all_the_same() -> None:
    """The line has no words, so the memory does not show it; the tokens are there."""
    memory = Memory([], Meter(vertex=False))
    memory.meter.model_audio(1000)
    memory.said("")
    memory.said("")
    assert memory.lines == [Line("model", "", Tokens(audio=25.0))]
    assert memory.held == []
    assert memory.meter.context_tokens == 25


def test_a_mute_model_cuts_nothing() -> None:
    """No turn of the model begins."""
    table = session(**compressing(trigger=100, target=50), quirks=Quirks(mute=True))
    for _ in range(20):
        tell(table)
    assert table.log.cuts == []
    assert table.log.context_tokens > 100


def test_content_of_the_role_system_is_cut_as_any_other() -> None:
    """No source says that Vertex keeps it as it keeps the instruction."""
    table = session(**compressing(trigger=400, target=100), model=VERTEX)
    table.send(ContentIn((("system", "The caller is Ada Brook."),), False))
    assert ("system", "The caller is Ada Brook.") in table.log.memory
    while not table.log.cuts:
        tell(table)
    assert ("system", "The caller is Ada Brook.") in table.log.cuts[0].lines

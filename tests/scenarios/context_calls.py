"""Calls that are about what the model still knows, and how they are held, several at once.

The model answers questions from what it really holds at that moment (``Recall``), and never tells a
fact itself, so that no answer keeps in its memory what it is asked for. Caller and model speak in
numbers, one for each 20 ms (``workers/twin/position_code.py``), so that what was missed, doubled or
late can be told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from agent.conversation.record import CallRecord, MoveCause, MoveKind, MoveMoment, MoveRecord
from agent.spec import AgentSpec, Context, Moves, SummarySettings
from agent.tools.current import current_session
from tests.benchmarks.moved_call import Finished, Plan
from tests.benchmarks.seen import Seen, answer_delay_ms, heard_twice_ms, lost_audio, times_begun
from tests.scenarios.rig import Rig, bakery, evercall, lost_ms
from workers.twin import caller
from workers.twin.caller import (
    CallerScript,
    DropSocket,
    HangUp,
    Speak,
    Step,
    WaitAgentDone,
    WaitSeconds,
    WaitStream,
)
from workers.twin.live_api.faults import Close, Fault, NoHandles, SlowAnswers
from workers.twin.live_api.script import (
    Call,
    CallTool,
    GoOn,
    LiveScript,
    Recall,
    Say,
    Steps,
    TextRule,
    Turn,
)
from workers.twin.live_api.session_log import SessionLog
from workers.twin.twilio_api.result import CallResult

# -- what is said ----------------------------------------------------------------------------------

NAME, NUMBER, PLACE, NOTE = "Anna Berg", "48213-77", "the blue door", "allergic to nuts"
TELLS_NAME, TELLS_NUMBER = f"My name is {NAME}.", f"My order number is {NUMBER}."
ASKS_NUMBER, ASKS_KEY, ASKS_AGAIN = "What is my number?", "Where is my key?", "And where is it?"
CHATS = ("Any rye bread?", "Any white rolls?", "Those cakes look good.", "It is cold out.")
LINE_MS = 300
FRAMES = LINE_MS // 20
GREETING, BACK = range(100, 100 + FRAMES), range(200, 200 + FRAMES)
KNOWN, UNKNOWN, ANSWERS = 400, 700, 1_000
"""Where the numbers of answers begin."""


def coded(first: int) -> str:
    return f"coded:{first}:{LINE_MS}"


def known(fact: str) -> Recall:
    """Answer from memory."""
    return Recall(fact, "yes", "no")


def model(*turns: tuple[str, Steps], **fields: Any) -> LiveScript:
    """A model that says something else each time, so that it can be told what was heard twice."""
    texts: dict[str, Say | GoOn] = {
        "cut off": GoOn(tuple(coded(ANSWERS + 40 * at) for at in range(len(turns)))),
        "line was cut": Say(coded(BACK.start)),
    }
    return LiveScript(
        opening=(Say(coded(GREETING.start)),),
        turns=tuple(Turn(said, _answer(at, steps)) for at, (said, steps) in enumerate(turns)),
        texts=tuple(TextRule(match, (step,)) for match, step in texts.items()),
        answer_delay_s=0.1,
        **fields,
    )


def _answer(at: int, steps: Steps) -> Steps:
    if steps and isinstance(asked := steps[-1], Recall):
        yes, no = (coded(first + 20 * at) for first in (KNOWN, UNKNOWN))
        return (*steps[:-1], replace(asked, say=yes, otherwise=no))
    # Apart, so that the next answer does not look like the rest of the one before.
    return (*steps, Say(coded(ANSWERS + 40 * at)))


def speaks(times: int = 1, *, quiet_ms: int = 300) -> list[Step]:
    """Say something so often, each time when the model has been quiet for so long."""
    return [WaitAgentDone(quiet_ms), Speak(LINE_MS)] * times


# -- functions of the agent's ----------------------------------------------------------------------


async def price_list() -> str:
    """Look up the prices."""
    # Prices in words: what looks like a fact would be kept in the summary. 900 tokens: two such
    # lists all but fill the scaled context, and what the model is then told of the call does.
    return ("Rolls are cheap and cakes are dear, as they have always been. " * 60)[:3_600]


async def look_up(what: str) -> str:
    """Look a customer up."""
    current_session().add_context(f"The caller is {what}.")
    return "noted"


def tools(*functions: Any) -> tuple[str, ...]:
    return tuple(f"{__name__}:{function.__name__}" for function in functions)


LIST = (CallTool("price_list"),)
FOUR_LISTS = (CallTool("price_list", also=(Call("price_list"),) * 3),)

# -- the calls -------------------------------------------------------------------------------------

SETUP_S = 1.0
"""What a dial costs the caller who has to wait for it."""
SPREAD_MS = 400.0
"""Between delays of answers that nothing held up, while a busy machine makes several calls."""
AT_ONCE = 6
APART_S = 0.5
"""A worker's first call loads certificates and builds a client; several would starve each other."""
SETTLED_S = 0.5
SCALED = Context(trigger_tokens=2_000, target_tokens=1_400)
REFUSES_UPDATES = "gemini-3.8-live-strict"
TEXT_MODEL = "gemini-3.8-flash"


@dataclass(frozen=True, slots=True)
class Setting:
    """One call."""

    script: LiveScript
    steps: Sequence[Step]
    agent: AgentSpec = field(default_factory=bakery)
    faults: Sequence[Fault] = ()
    live_options: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    coded: bool = True


@dataclass(frozen=True)
class Held:
    """A call that is over."""

    rig: Rig
    result: CallResult
    record: CallRecord
    start_s: float

    @cached_property
    def seen(self) -> Seen:
        """What both ends saw of it."""
        plan = Plan(CallerScript(), LiveScript(), (range(100, 9_000),))
        return Finished(plan, self.result, self.rig.live, self.start_s, self.record).look()

    @property
    def sessions(self) -> list[SessionLog]:
        return self.rig.live.sessions

    @property
    def move(self) -> MoveRecord:
        (move,) = self.record.moves
        return move

    @property
    def way(self) -> tuple[MoveCause, MoveKind | None, MoveMoment]:
        """Of the only move."""
        return self.move.cause, self.move.kind, self.move.moment

    def delays(self) -> list[float]:
        """How long the caller waited for each answer."""
        found = [answer_delay_ms(self.seen, said) for said in self.seen.utterances()]
        assert None not in found
        return [delay for delay in found if delay is not None]

    def knew(self) -> list[bool]:
        """What became of each question."""
        kinds = ("recalled", "not_recalled")
        notes = [note for log in self.sessions for note in log.notes if note.kind in kinds]
        return [note.kind == "recalled" for note in sorted(notes, key=lambda note: note.at)]

    def assert_nothing_is_missed(self) -> None:
        """Every word reached a model, and none of the model's was heard twice."""
        assert lost_audio(self.seen).total_ms == 0
        assert lost_ms(self.record) == 0
        assert heard_twice_ms(self.seen) == 0
        assert times_begun(self.seen, GREETING) == 1

    def assert_move_is_not_heard(self, *, usual: slice, after: slice) -> None:
        """The answers after it came as soon as those before."""
        assert (self.move.gap_ms, self.move.lost_ms) == (0.0, 0.0)
        waited = self.delays()
        assert max(waited[after]) <= max(waited[usual]) + SPREAD_MS, waited
        self.assert_nothing_is_missed()


async def hold(setting: Setting, rig: Rig) -> Held:
    call = await rig.ring(*setting.steps, WaitAgentDone(300), HangUp(), coded=setting.coded)
    result = await call.wait(60)
    record = await rig.record(result.sid)
    await rig.until_counted("evercall_call_seconds_count", 1)
    return Held(rig, result, record, call.line.journal.start_s)


async def hold_all(settings: Mapping[str, Setting], folder: Path) -> dict[str, Held]:
    """Hold all calls, several at once."""
    places = asyncio.Semaphore(AT_ONCE)

    async def hold_one(number: int, name: str) -> Held:
        await asyncio.sleep(APART_S * number)
        async with places:
            return await hold(settings[name], rigs[name])

    async with AsyncExitStack() as stack:
        rigs = {}
        for name, one in settings.items():
            (folder / name).mkdir()
            rigs[name] = await stack.enter_async_context(
                evercall(
                    folder / name,
                    one.script,
                    agent=one.agent,
                    faults=one.faults,
                    live_options=one.live_options,
                    **one.options,
                )
            )
        held = await asyncio.gather(*(hold_one(*one) for one in enumerate(settings)))
        return dict(zip(settings, held, strict=True))


# The model of each way to give a fresh session its memory, and of each to tell a living one.
REFILLED = {
    "initial_history": ("gemini-3.8-live", False),
    "system_instruction": ("gemini-2.5-flash-native-audio-preview-12-2025", False),
    "client_content": ("gemini-live-2.5-flash-native-audio", True),
}
CUT = {
    "context_update": ("gemini-3.8-live", False),
    "next_move": ("gemini-3.1-flash-live-preview", False),
    "system_content": ("gemini-live-2.5-flash-native-audio", True),
}


def settings() -> dict[str, Setting]:
    """Return all calls."""
    return {
        "full": Setting(
            # A second of the model's audio is counted as if it were an hour of talk, so that three
            # answers fill the window: a session that is not left is closed at the next one.
            model(
                (TELLS_NAME, ()),
                (TELLS_NUMBER, ()),
                (CHATS[0], ()),
                (ASKS_NUMBER, (known(NUMBER),)),
                (CHATS[1], ()),
            ),
            [*speaks(3), *speaks(quiet_ms=1_600), *speaks()],
            bakery(context=Context(compression=False)),
            live_options={"model_tokens_per_s": 100_000.0, "setup_delay_s": SETUP_S},
        ),
        "slow": Setting(
            # The greeting is the first answer; three answers are compared with three.
            model(
                (TELLS_NAME, ()),
                (TELLS_NUMBER, ()),
                *((said, ()) for said in CHATS),
                (ASKS_NUMBER, (known(NUMBER),)),
            ),
            [*speaks(6), *speaks(quiet_ms=1_600)],
            bakery(moves=Moves(latency_drift_s=0.4)),
            [SlowAnswers(from_answer=5, add_s=0.3)],
            live_options={"setup_delay_s": SETUP_S},
        ),
        **{
            way: Setting(
                model(
                    (TELLS_NAME, ()), (TELLS_NUMBER, ()), (ASKS_NUMBER, (known(NUMBER),)), speed=1.1
                ),
                speaks(3, quiet_ms=600),
                bakery(model=name),
                [
                    NoHandles(sessions=frozenset({1})),
                    Close(sessions=frozenset({1}), answer=3, audio_ms=100),
                ],
                options={"google_use_vertexai": vertexai},
            )
            for way, (name, vertexai) in REFILLED.items()
        },
        **{
            way: Setting(
                model(
                    (f"{TELLS_NAME} {TELLS_NUMBER}", ()),
                    # 3.1 holds 2.8 times its trigger before it is cut.
                    (CHATS[0], FOUR_LISTS if way == "next_move" else LIST),
                    (CHATS[1], FOUR_LISTS if way == "next_move" else LIST),
                    (ASKS_NUMBER, (known(NUMBER),)),
                ),
                [*speaks(3), *speaks(quiet_ms=600)],
                bakery(model=name, context=SCALED, tools=tools(price_list)),
                options={"google_use_vertexai": vertexai},
            )
            for way, (name, vertexai) in CUT.items()
        },
        "remembers": Setting(
            # The caller never says it, so that no summary holds it.
            model(
                (CHATS[0], (CallTool("remember", {"key": "key", "value": PLACE}),)),
                (CHATS[1], LIST),
                (CHATS[2], LIST),
                (ASKS_KEY, (known(PLACE),)),
                (ASKS_AGAIN, (known(PLACE),)),
            ),
            [
                *(step for said in CHATS[:3] for step in (WaitAgentDone(300), caller.Say(said))),
                WaitAgentDone(600),
                caller.Say(ASKS_KEY),
                WaitAgentDone(300),
                DropSocket(),
                WaitStream(),
                WaitSeconds(0.5),
                caller.Say(ASKS_AGAIN),
            ],
            bakery(context=SCALED, tools=("remember", *tools(price_list))),
            coded=False,
        ),
        "noted": Setting(
            model(
                (CHATS[0], (CallTool("look_up", {"what": NOTE}),)),
                ("What must I not eat?", (known(NOTE),)),
            ),
            speaks(2),
            bakery(tools=tools(look_up)),
        ),
        "refused": Setting(
            model(
                (CHATS[0], (CallTool("look_up", {"what": NOTE}),)),
                ("What must I not eat?", (known(NOTE),)),
                (CHATS[1], (CallTool("look_up", {"what": "a baker"}),)),
                ("What do I do for a living?", (known("a baker"),)),
            ),
            [*speaks(), *speaks(3, quiet_ms=700)],
            bakery(model=REFUSES_UPDATES, tools=tools(look_up)),
        ),
        "summarised": Setting(
            model(
                (TELLS_NAME, ()),
                (TELLS_NUMBER, ()),
                *((said, ()) for said in CHATS),
                (ASKS_NUMBER, (known(NUMBER),)),
            ),
            speaks(7),
            bakery(
                context=Context(
                    summary=SummarySettings(TEXT_MODEL, every_turns=2, timeout_s=SETUP_S)
                )
            ),
            options={"text_recipe": "hang, error(503), ok"},
        ),
    }

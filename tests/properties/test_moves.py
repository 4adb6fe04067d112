"""Any call at all: connections that come, go and fail in any order, and what must always hold."""

from __future__ import annotations

import os
import random

import pytest
from hypothesis import HealthCheck, note, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from agent import events
from agent.audio import PcmChunk
from agent.checkpoint import SessionCheckpoint
from agent.conversation.owed import Owed
from agent.conversation.prompt import Opening
from agent.conversation.record import EndReason
from agent.errors import LiveConnectFailed, LiveConnectRefused, LiveError
from agent.live.session_events import EndRequested
from agent.live.state import State
from agent.spec import AgentSpec, Limits, Moves
from agent.tools.runner import ClosingRequested
from tests.properties.moving_session import MovingSession, audio

SEED = int(os.environ.get("MOVES_SEED", "0")) or random.SystemRandom().randrange(1, 2**31)
EXAMPLES, STEPS = 300, 50

NEW, OLD = "gemini-3.8-live", "gemini-2.5-flash-native-audio-latest"
GREETING = PcmChunk(bytes(16_000), 8_000)
OPENINGS = [
    Opening("Be kind."),
    Opening("Be kind.", greeting="Hello there.", instruction="Be kind."),
    Opening("Be kind.", greeting="Hello there.", greeting_audio=GREETING),
    Opening("Be kind.", nudge="Go on."),
    *(
        Opening(
            "Be kind.",
            nudge=None if owed is Owed.NOTHING else "Go on.",
            owed=owed,
            greeted="Hello there.",
            checkpoint=SessionCheckpoint(0.0, "gemini-3.8-live", handle),
        )
        for owed, handle in (
            (Owed.NOTHING, "handle-before"),
            (Owed.REST, "handle-before"),
            (Owed.ANSWER, None),
        )
    ),
]
VOICE, HUSH = audio(), audio(audible=False)
MESSAGES: dict[str, events.LiveEvent] = {
    "voice": VOICE,
    "more voice": VOICE,
    "audio near zero": HUSH,
    "turn complete": events.TurnCompleted(),
    "turn complete again": events.TurnCompleted(),
    "generation complete": events.GenerationCompleted(),
    "interrupted": events.Interrupted(),
    "words": events.OutputTranscribed("We open at seven."),
    "the greeting's words": events.OutputTranscribed("Hello there."),
    "the caller's words": events.InputTranscribed("When?"),
    "a thought": events.ThoughtReceived("They want to know."),
    "in progress": events.InteractionStatusChanged("IN_PROGRESS"),
    "idle": events.InteractionStatusChanged("IDLE"),
    "setup complete": events.SetupCompleted(),
    "voice activity": events.VoiceActivityChanged(True),
    "long prompt": events.UsageReported(2_000, 0, 2_000),
    "short prompt": events.UsageReported(300, 0, 300),
    "no prompt": events.UsageReported(0, 5, 5),
    "unrecognised": events.Unrecognised(("new",)),
    "malformed": events.MalformedReceived("not JSON"),
    "not resumable": events.ResumptionUpdated(None, False),
}
CLOSES = st.sampled_from(
    [
        (1000, ""),
        (1006, ""),
        (1007, "Request contains an invalid argument."),
        (1008, "The operation was aborted."),
        (1011, "Deadline expired before operation could complete."),
        (1011, "Internal error encountered."),
        (1011, "You exceeded your current quota"),
    ]
)
ERRORS = st.sampled_from(
    [
        *[LiveConnectFailed("no route")] * 5,
        LiveConnectFailed("HTTP 503", code=503),
        LiveConnectFailed("HTTP 429", code=429, reason="quota"),
        *[LiveConnectFailed("no setup in time", setup_sent=True)] * 3,
        LiveConnectFailed("closed", code=1007, reason="invalid argument", setup_sent=True),
        LiveConnectFailed("closed", code=1011, reason="unavailable", setup_sent=True),
        LiveConnectRefused("GOOGLE_API_KEY", "was refused", setup_sent=True),
    ]
)
CLOSINGS = st.sampled_from(
    [
        *[None] * 20,
        ClosingRequested("end_call"),
        ClosingRequested("transfer_call", "+15550100009"),
    ]
)


class Calls(RuleBasedStateMachine):
    """One call after the other, each until it ends."""

    steps = 0
    calls = 0
    moves = 0

    def __init__(self) -> None:
        super().__init__()
        self.world = MovingSession(AgentSpec("a", "Be kind."), Opening("Be kind."))
        self.ids = 0

    # -- the conditions under which something can happen ---------------------------------------

    def on(self) -> bool:
        return not self.world.ended

    def served(self) -> bool:
        link = self.world.current
        return self.on() and link is not None and not link.lost

    # -- a call --------------------------------------------------------------------------------

    @initialize(data=st.data())
    def first(self, data: st.DataObject) -> None:
        self.begin(data)

    @precondition(lambda self: self.world.ended)
    @rule(data=st.data())
    def next_call(self, data: st.DataObject) -> None:
        self.world.run_out()
        Calls.moves += self.world.reports
        self.begin(data)

    def begin(self, data: st.DataObject) -> None:
        Calls.calls += 1
        spec = AgentSpec(
            name="bakery",
            system_instruction="Be kind.",
            model=data.draw(st.sampled_from([NEW, OLD])),
            limits=Limits(max_call_s=600, idle_s=60),
            moves=Moves(
                max_age_s=90,
                standby=data.draw(st.booleans()),
                fallback_models=data.draw(
                    st.sampled_from([(), ("gemini-3.1-flash-live-preview",)])
                ),
                person=data.draw(st.sampled_from([None, "the owner"])),
            ),
            transfer={"the owner": "+15550100009"},
        )
        self.world = MovingSession(spec, data.draw(st.sampled_from(OPENINGS)))
        if data.draw(st.integers(0, 4)):
            self.world.open(1)

    # -- the caller ----------------------------------------------------------------------------

    @precondition(on)
    @rule(ms=st.sampled_from([20, 200, 500, 1_000, 3_000]))
    def speak(self, ms: int) -> None:
        self.world.say(ms, loud=True)

    @precondition(on)
    @rule(ms=st.sampled_from([20, 300, 1_000, 2_000]))
    def fall_silent(self, ms: int) -> None:
        self.world.say(ms, loud=False)

    @precondition(on)
    @rule(ms=st.sampled_from([500, 1_500]))
    def ask(self, ms: int) -> None:
        self.world.say(ms, loud=True)
        self.world.say(1_000, loud=False)

    @precondition(on)
    @rule(key=st.sampled_from("17#"))
    def press(self, key: str) -> None:
        self.world.life.key_pressed(key, self.world.now)

    @precondition(on)
    @rule(seconds=st.sampled_from([0.0, 0.1, 0.5, 2.0, 5.0]) | st.floats(0, 12))
    def wait(self, seconds: float) -> None:
        # While a dial is under way few seconds pass: else most calls end by their budget.
        self.world.advance(seconds if self.served() else seconds / 8)

    @precondition(lambda self: self.served() or not (self.world.dials or self.world.closing))
    @rule()
    def wait_for_the_deadline(self) -> None:
        self.world.advance(max(0.0, self.world.life.deadline - self.world.now))

    @precondition(on)
    @rule(chance=st.integers(0, 19))
    def wait_long(self, chance: int) -> None:
        if chance == 0:
            self.world.advance(25.0)

    @precondition(on)
    @rule(chance=st.integers(0, 29))
    def hang_up(self, chance: int) -> None:
        if chance == 0:
            self.world.receive(EndRequested(EndReason.CALLER_HUNG_UP))

    @precondition(on)
    @rule(chance=st.integers(0, 9), limit_s=st.sampled_from([0.0, 1.0, 20.0]))
    def hand_over(self, chance: int, limit_s: float) -> None:
        if chance == 0:
            self.world.hand_over(limit_s)

    # -- the shell's own time ------------------------------------------------------------------

    @precondition(lambda self: self.on() and self.world.pumping)
    @rule(times=st.sampled_from([1, 1_000]))
    def pump(self, times: int) -> None:
        for _ in range(times):
            if self.world.ended or not self.world.pumping:
                return
            self.world.pump()

    @precondition(lambda self: self.on() and bool(self.world.closing))
    @rule()
    def close_completes(self) -> None:
        self.world.close_old()

    @precondition(lambda self: self.on() and bool(self.world.dials))
    @rule(data=st.data())
    def dial_succeeds(self, data: st.DataObject) -> None:
        self.world.open(data.draw(st.sampled_from(sorted(self.world.dials))))

    @precondition(lambda self: self.on() and self.world.current is None)
    @rule()
    def connect(self) -> None:
        if self.world.closing:
            self.world.close_old()
        wanted = [n for n, command in self.world.dials.items() if not command.standby]
        if wanted:
            self.world.open(wanted[0])
            self.pump(1_000)

    @precondition(lambda self: self.on() and bool(self.world.dials))
    @rule(data=st.data(), error=ERRORS)
    def dial_fails(self, data: st.DataObject, error: LiveError) -> None:
        self.world.fail(data.draw(st.sampled_from(sorted(self.world.dials))), error)

    @precondition(lambda self: self.on() and bool(self.world.running))
    @rule(data=st.data(), closing=CLOSINGS)
    def functions_finish(self, data: st.DataObject, closing: ClosingRequested | None) -> None:
        running = sorted(self.world.running)
        ids = data.draw(st.lists(st.sampled_from(running), min_size=1, unique=True))
        self.world.finish(ids, closing)

    # -- the server ----------------------------------------------------------------------------

    @precondition(served)
    @rule(found=st.lists(st.sampled_from(sorted(MESSAGES)), min_size=1, max_size=4))
    def say(self, found: list[str]) -> None:
        for name in found:
            if self.served():
                self.world.serve(MESSAGES[name])

    @precondition(served)
    @rule(chunks=st.integers(1, 5), handle=st.booleans())
    def answer(self, chunks: int, handle: bool) -> None:
        turn: list[events.LiveEvent] = [VOICE] * chunks
        for event in [*turn, events.GenerationCompleted(), events.TurnCompleted()]:
            if self.served():
                self.world.serve(event)
        if handle and self.served():
            self.issue()

    @precondition(served)
    @rule()
    def issue(self) -> None:
        self.ids += 1
        self.world.serve(events.ResumptionUpdated(f"handle-{self.ids}", True))

    @precondition(served)
    @rule(names=st.lists(st.sampled_from(["look", "order"]), min_size=1, max_size=2))
    def call_functions(self, names: list[str]) -> None:
        calls = []
        for name in names:
            self.ids += 1
            calls.append(events.FunctionCall(f"id-{self.ids}", name, {"of": len(names)}))
        self.world.request(*calls)

    @precondition(lambda self: self.served() and bool(self.world.current.asked))
    @rule(data=st.data())
    def repeat_a_call(self, data: st.DataObject) -> None:
        assert self.world.current is not None
        call_id = data.draw(st.sampled_from(sorted(self.world.current.asked)))
        self.world.request(events.FunctionCall(call_id, "look", {"of": 1}))

    @precondition(lambda self: self.served() and bool(self.world.current.waits_for))
    @rule(data=st.data())
    def take_calls_back(self, data: st.DataObject) -> None:
        assert self.world.current is not None
        waiting = sorted(self.world.current.waits_for)
        ids = data.draw(st.lists(st.sampled_from([*waiting, "unknown"]), min_size=1, max_size=2))
        self.world.take_back(tuple(ids))

    @precondition(served)
    @rule(left_s=st.sampled_from([None, 0.0, 5.0, 50.0]))
    def go_away(self, left_s: float | None) -> None:
        self.world.go_away(left_s)

    @precondition(served)
    @rule(close=CLOSES)
    def drop(self, close: tuple[int, str]) -> None:
        self.world.lose(*close)

    @precondition(lambda self: self.on() and self.world.standby is not None)
    @rule()
    def drop_the_standby(self) -> None:
        self.world.lose_standby()

    # -- always --------------------------------------------------------------------------------

    @invariant()
    def holds(self) -> None:
        Calls.steps += 1
        self.world.check()

    def teardown(self) -> None:
        note(f"MOVES_SEED={SEED}, ends in {self.world.life.state}")
        self.world.run_out()
        assert self.world.life.state is State.ENDED
        Calls.moves += self.world.reports


@pytest.mark.timeout(900)  # what it finds, it takes time to make small
def test_any_call_keeps_every_promise() -> None:
    """No caller audio is lost or said twice, tools run once, there is one voice, and an end."""
    print(f"MOVES_SEED={SEED}")
    Calls.steps = Calls.calls = Calls.moves = 0
    run_state_machine_as_test(
        seed(SEED)(Calls),
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
    print(f"{Calls.steps} steps, {Calls.calls} calls, {Calls.moves} moves")
    assert Calls.steps >= 10_000
    assert Calls.moves > 100

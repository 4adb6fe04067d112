"""A call of ninety minutes in seconds: a caller, a phone and the twin's model in a virtual loop.

The caller tells twelve facts in the first ten minutes, chats for the rest, asks for the facts again
and again, and for all of them at the end. The model answers by script, but questions from nothing
except what the twin's session really holds at that moment.
The caller speaks in position codes, so that the twin knows what was said again after a move, and
the test knows whether every word arrived.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from agent import events
from agent.audio import INPUT_RATE_HZ, PcmChunk
from agent.context.text_model import Generated, TextModelFailed
from agent.conversation.prompt import open_call
from agent.conversation.record import EndReason, MoveRecord
from agent.conversation.transcript import Transcript
from agent.live.session import LiveSession
from agent.live.session_events import SessionEnd, SessionEvent
from agent.spec import AgentSpec, Context, Greeting, Limits, Moves
from agent.tools.call_control import built_in_tools
from agent.tools.runner import ToolRunner
from tests.fakes.call_control import FakeCallControl
from tests.fakes.twin_connection import TwinInProcess
from tests.fakes.virtual_loop import START_S, run
from workers.twin.live_api.faults import Close, Fault, GoAway, NoHandles, RefuseSetup
from workers.twin.live_api.script import GoOn, LiveScript, Recall, Say, Steps, TextRule, Turn
from workers.twin.live_api.session_log import Cut, SessionLog
from workers.twin.live_api.understanding import Codes
from workers.twin.live_api.usage import RATES, Rates
from workers.twin.position_code import CODES, FRAME_MS, encode_run
from workers.twin.text_model.summarise import summarise

MINUTES = 90
TRIGGER_TOKENS, TARGET_TOKENS = 8_000, 4_000
"""Scaled: the call's hundred thousand tokens are to be cut every few minutes."""
WINDOW_TOKENS = round(TRIGGER_TOKENS / 0.8)
"""The window that goes with this trigger, as the server's default has it."""
GREETING = "Hello, this is the repair desk. How can I help you?"

_TURN_S = 15.0
"""From one utterance of the caller to the next."""
_PIECE_MS = 100
"""Of caller audio at once; the phone's 20 ms would be the same call with five times the work."""
_STEP_MS = 100
"""Utterances are whole multiples of it, and so of every length of pieces."""
_WORD_MS = 320
_ANSWER_S = 30.0
_ASKED_FROM, _ASKED_EVERY = 30, 6
"""Utterances: from the eighth minute on, a question every ninety seconds."""
_INTERRUPTS_EVERY = 25
_INTERRUPTS_AFTER_S = 1.5
_SPAN_S = 560.0
"""Age at which the server begins to send a connection away."""

# -- what is said ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that must not be forgotten."""

    said: str
    """How the caller tells it."""
    held: str
    """What must be found in what the model holds, letter by letter."""
    question: str
    answer: str = "Thank you, I have noted that down."


FACTS = (
    Fact("My name is Marguerite Okonkwo.", "Marguerite Okonkwo", "What is my name?"),
    Fact("The order number is 48213-77.", "48213-77", "What is my order number?"),
    Fact("It was delivered on 14 March.", "14 March", "When was it delivered?"),
    Fact("I paid 249.90 euros for it.", "249.90", "How much did I pay?"),
    Fact("I live at 12 Garden Road in Leeds.", "12 Garden Road", "What is my address?"),
    Fact("You can call me on 020 7946 0112.", "020 7946 0112", "What is my phone number?"),
    Fact("My e-mail is m.okonkwo@example.org.", "m.okonkwo@example.org", "What is my e-mail?"),
    Fact("The machine is a Lavanta 300.", "Lavanta 300", "Which machine do I have?"),
    Fact("Its serial number is LV-99180.", "LV-99180", "What is the serial number?"),
    Fact("My customer number is 5506812.", "5506812", "What is my customer number?"),
    Fact("My neighbour Piet Janssen has the key.", "Piet Janssen", "Who has the key?"),
    Fact(
        "Could you send somebody to repair it?",
        "Friday 8 May",
        "What did you promise me?",
        "I promise that a technician will come on Friday 8 May at ten in the morning.",
    ),
)

_CHAT = (
    "Well, the garden has been rather lovely all through this year.",
    "My sister says that the trains are running late again.",
    "I do like to have the radio on while I am cooking.",
    "Have you ever tried to teach a cat to come when called?",
    "They are building something new across the street.",
    "I have been reading a long book about the sea.",
    "It rains here almost every afternoon at this time.",
    "The children next door are learning to play the trumpet.",
    "I never know what to give my brother for his birthday.",
    "People used to write so many more letters, you know.",
    "I wonder whether the swallows will come back to the barn.",
    "The soup turned out too salty, but we ate it anyway.",
)
_REPLIES = (
    "That sounds lovely. Gardens reward patience, and a little rain does them no harm at all.",
    "Oh dear, that is a nuisance. Still, late trains give people time to talk to each other.",
    "A radio makes good company. I am told that cooking goes faster with music in the background.",
    "I have not, but people say that cats come when they like, and not a moment before that.",
    "Building sites are noisy things. With luck it will be something pretty when it is finished.",
    "Books about the sea are never short. There is so much of it, and so much happens out there.",
    "Then an umbrella by the door is a good idea, and a dry coat on the hook beside it as well.",
    "The trumpet is a brave choice. One hears every single mistake, but one hears progress, too.",
    "Something to eat is always right. Nobody has ever had to find a place for it on a shelf.",
    "They did, and they kept them in boxes. It is a pity that nobody keeps messages like that.",
    "They often do. A swallow finds its way home over half the world, which is hard to believe.",
    "A potato in the pot helps with that, I have heard. Or more water, and more guests.",
)


@dataclass(frozen=True, slots=True)
class Utterance:
    """What the caller says next, and what the model answers."""

    text: str
    answer: Steps
    fact: int | None = None
    """Tells this one."""
    interrupts: bool = False
    """Said into the answer to what was said before."""

    @property
    def frames(self) -> int:
        return math.ceil(len(self.text.split()) * _WORD_MS / _STEP_MS) * _STEP_MS // FRAME_MS


def dialogue(minutes: float) -> list[Utterance]:
    """Return what is said in so many minutes."""
    count = round(minutes * 60 / _TURN_S)
    said = [
        Utterance(_CHAT[at % len(_CHAT)], (Say(_REPLIES[at % len(_REPLIES)]),))
        for at in range(count)
    ]
    # Every other utterance, from the third on: all are told within seven minutes.
    for number, at in zip(range(len(FACTS)), range(2, count, 2), strict=False):
        fact = FACTS[number]
        said[at] = Utterance(fact.said, (Say(fact.answer),), fact=number)
    asked = [*range(_ASKED_FROM, count - len(FACTS), _ASKED_EVERY)]
    for at in range(_ASKED_FROM + 2, asked[-1] if asked else 0, _INTERRUPTS_EVERY):
        said[at] = replace(said[at], interrupts=said[at].fact is None and at - 1 not in asked)
    last = range(max(_ASKED_FROM, count - len(FACTS)), count)
    for nth, at in enumerate([*asked, *last]):
        said[at] = _question(FACTS[nth % len(FACTS)])
    return said


def _question(fact: Fact) -> Utterance:
    # An answer that told the fact would keep it in memory by itself.
    answer = Recall(rf"\b{re.escape(fact.held)}\b", "Yes, I have that here.", "I do not know that.")
    return Utterance(fact.question, (answer,))


def script(said: Sequence[Utterance]) -> LiveScript:
    """Return the model's side of it."""
    return LiveScript(
        opening=(Say(GREETING),),
        turns=tuple(Turn(one.text, one.answer) for one in said),
        texts=(
            TextRule("cut off by the telephone line", (GoOn(_REPLIES),)),
            TextRule("waiting for your answer", (Say("Yes, I am listening."),)),
        ),
    )


def faults(minutes: float, seed: int) -> list[Fault]:
    """Return what makes the session move nine times in ninety minutes.

    Every connection is sent away between nine and ten minutes old. The third resume is refused, and
    one connection breaks without ever having issued a handle: two refills.
    """
    chance = random.Random(seed)
    refused, handleless = 4, 8
    out: list[Fault] = [
        RefuseSetup(
            code=1007,
            reason="Request contains an invalid argument.",
            when="resume",
            sessions=frozenset({refused}),
        ),
        NoHandles(sessions=frozenset({handleless})),
        Close(
            after_s=_SPAN_S + chance.uniform(-10, 10),
            code=1011,
            sessions=frozenset({handleless}),
        ),
    ]
    out += [
        GoAway(after_s=_SPAN_S + chance.uniform(-10, 10), sessions=frozenset({number}))
        for number in range(1, round(minutes) + 2)
        if number != handleless
    ]
    return out


# -- the two ends ------------------------------------------------------------------------------


class Phone:
    """What the caller hears: plays in real time what it is given, and knows what was heard."""

    def __init__(self) -> None:
        self.session: LiveSession | None = None
        self.playing = False
        self.quiet_since_s = 0.0
        self.fillers = 0
        self._loop = asyncio.get_running_loop()
        self._offered_ms = 0.0
        self._played_ms = 0.0
        self._at_s = 0.0
        self._cuts: list[tuple[float, float]] = []

    # -- PlayoutClock

    def offered_ms(self) -> float:
        return self._offered_ms

    def heard_ms(self, since_ms: float, until_ms: float) -> float:
        self._play()
        until_ms = min(until_ms, self._played_ms)
        cut_ms = sum(max(0.0, min(until_ms, b) - max(since_ms, a)) for a, b in self._cuts)
        return max(0.0, until_ms - since_ms - cut_ms)

    def pending_ms(self) -> float:
        self._play()
        return self._offered_ms - self._played_ms

    # -- SessionListener

    async def on_event(self, event: SessionEvent) -> None:
        if isinstance(event, events.AudioReceived):
            self._offer(event.audio.duration_ms)
        elif isinstance(event, events.Interrupted):
            self._play()
            self._cuts.append((self._played_ms, self._offered_ms))
            self._played_ms = self._offered_ms
            self._stop_if_over()

    plays_on = True

    def play_on(self, audio: PcmChunk) -> None:
        self._offer(audio.duration_ms)

    async def on_greeting(self, text: str, audio: PcmChunk) -> None:
        self._offer(audio.duration_ms)

    async def on_filler(self, audio: PcmChunk) -> None:
        self.fillers += 1
        self._offer(audio.duration_ms)

    async def on_left(self) -> None:
        pass

    def _offer(self, duration_ms: float) -> None:
        self._play()
        self._offered_ms += duration_ms
        if not self.playing:
            self.playing = True
            assert self.session is not None
            self.session.bot_started()
            self._stop_when_over()

    def _play(self) -> None:
        now = self._loop.time()
        played_ms = self._played_ms + (now - self._at_s) * 1000
        self._played_ms = min(self._offered_ms, played_ms)
        self._at_s = now

    def _stop_when_over(self) -> None:
        self._loop.call_later(self.pending_ms() / 1000 + 0.001, self._stop_if_over)

    def _stop_if_over(self) -> None:
        if not self.playing:
            return
        if self.pending_ms() > 0:
            self._stop_when_over()
            return
        self.playing = False
        self.quiet_since_s = self._loop.time()
        assert self.session is not None
        self.session.bot_stopped()


class Person:
    """The caller: one piece of audio after the other, on an absolute schedule."""

    def __init__(self, session: LiveSession, phone: Phone, *, piece_ms: int, seed: int) -> None:
        self.spoken: list[tuple[float, Codes]] = []
        """When each utterance began, and its position codes."""
        self._session = session
        self._phone = phone
        self._chance = random.Random(seed)
        self._loop = asyncio.get_running_loop()
        self._next_s = self._began_s = self._loop.time()
        self._code = 0
        self._piece_s = piece_ms / 1000
        self._silence = bytes(INPUT_RATE_HZ * 2 * piece_ms // 1000)

    async def talk(self, said: Iterable[Utterance]) -> None:
        """Say it all, each when the model has answered what was said before."""
        for number, one in enumerate(said):
            due_s = self._began_s + number * _TURN_S + self._chance.uniform(0, 3)
            pause_s = self._chance.uniform(0.8, 1.6)
            if one.interrupts:
                await self._wait(lambda: self._phone.playing, self._loop.time())
                for _ in range(round(_INTERRUPTS_AFTER_S / self._piece_s)):
                    await self._send(self._silence)
            else:
                await self._listen(due_s, pause_s=pause_s)
            await self._say(one)
        await self._listen(self._loop.time(), pause_s=2.0)

    async def _listen(self, due_s: float, *, pause_s: float) -> None:
        """Wait for an answer, and for the time to say something else."""
        began_s, phone = self._loop.time(), self._phone

        def heard() -> bool:
            quiet_s = phone.quiet_since_s
            answered = not phone.playing and quiet_s > began_s
            return answered and self._loop.time() >= max(due_s, quiet_s + pause_s)

        await self._wait(heard, max(began_s, due_s))

    async def _wait(self, true: Callable[[], bool], due_s: float) -> None:
        while not true():
            now = self._loop.time()
            assert now < due_s + _ANSWER_S, (
                f"no answer to utterance {len(self.spoken)}, {now - START_S:.1f} s into the call"
            )
            await self._send(self._silence)

    async def _say(self, one: Utterance) -> None:
        if self._code + one.frames > CODES:
            self._code = 0
        first, self._code = self._code, self._code + one.frames
        self.spoken.append((self._loop.time() - START_S, (first, self._code - 1)))
        pcm = encode_run(first, one.frames, rate_hz=INPUT_RATE_HZ)
        size = len(self._silence)
        for at in range(0, len(pcm), size):
            await self._send(pcm[at : at + size])

    async def _send(self, pcm: bytes) -> None:
        self._next_s += self._piece_s
        await asyncio.sleep(self._next_s - self._loop.time())
        await self._session.send_caller_audio(pcm)


# -- the call ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Given:
    """What the model was given by a move: its instruction, and the lines that it holds."""

    connection: int
    at_s: float
    told: int
    """How many facts had been told by then."""
    text: str

    def missing(self) -> list[str]:
        """Return what has been told and is not there."""
        text = " ".join(self.text.split())
        return [fact.held for fact in FACTS[: self.told] if fact.held not in text]


@dataclass(frozen=True, slots=True)
class Sample:
    """How large the context was at a moment."""

    at_s: float
    connection: int
    tokens: int
    """By the twin."""
    estimate: int | None
    """By the session; None where nobody asks it."""

    @property
    def error(self) -> float:
        """Return by how much of the truth the estimate is off."""
        return 0.0 if self.estimate is None else abs(self.estimate - self.tokens) / self.tokens


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model made of a question."""

    at_s: float
    connection: int
    known: bool
    asked: str
    """The expression that finds the fact."""


@dataclass(slots=True)
class LongCall:
    """All there is to know about a call."""

    end: SessionEnd | None = None
    seconds: float = 0.0
    cpu_s: float = 0.0
    """Of this thread: numpy has its own, which wait busily."""
    moves: list[MoveRecord] = field(default_factory=list)
    given: list[Given] = field(default_factory=list)
    """One for each move."""
    samples: list[Sample] = field(default_factory=list)
    """One for each second in which a connection served."""
    counters: dict[str, int] = field(default_factory=dict)
    spoken: list[tuple[float, Codes]] = field(default_factory=list)
    logs: list[SessionLog] = field(default_factory=list)
    fillers: int = 0

    @property
    def cuts(self) -> list[Cut]:
        """Every time the server cut the context."""
        return [cut for log in self.logs for cut in log.cuts]

    @property
    def answers(self) -> list[Answer]:
        """What the model answered to each question, in order."""
        return [
            Answer(note.at - START_S, log.number, note.kind == "recalled", note.detail)
            for log in self.logs
            for note in log.notes
            if note.kind in ("recalled", "not_recalled")
        ]

    @property
    def most_tokens(self) -> int:
        """The most that any model ever held, by the twin."""
        return max(tokens for log in self.logs for _, tokens in log.context)

    def unheard(self) -> list[int]:
        """Return the utterances that no model heard from their first word to their last."""
        heard = [
            (turn.codes[0], turn.codes[1], turn.ended_ms - turn.started_ms)
            for log in self.logs
            for turn in log.heard
            if turn.codes is not None
        ]
        return [
            number
            for number, (_, (first, last)) in enumerate(self.spoken)
            if not any(
                a <= first and last <= b and heard_ms >= (b - a + 1) * FRAME_MS
                for a, b, heard_ms in heard
            )
        ]


def agent(model: str = "gemini-3.8-live") -> AgentSpec:
    """Return the agent that is called."""
    return AgentSpec(
        name="repairs",
        system_instruction="You answer the telephone of a repair desk. Be brief and friendly.",
        model=model,
        greeting=Greeting(GREETING),
        limits=Limits(max_call_s=2 * MINUTES * 60),
        # The server sends it away before it is so old.
        moves=Moves(max_age_s=660.0),
        context=Context(trigger_tokens=TRIGGER_TOKENS, target_tokens=TARGET_TOKENS),
    )


class SlowTextModel:
    """A text model that takes its time, and now and then talks nonsense, fails or hangs."""

    def __init__(self, seed: int) -> None:
        self.asked = 0
        self.most_at_once = 0
        self._at_once = 0
        self._chance = random.Random(seed)

    @property
    def name(self) -> str:
        return "slow-model"

    async def generate(self, prompt: str, *, schema: Mapping[str, Any]) -> Generated:
        self.asked += 1
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            return await self._generate(prompt, schema)
        finally:
            self._at_once -= 1

    async def _generate(self, prompt: str, schema: Mapping[str, Any]) -> Generated:
        await asyncio.sleep(self._chance.uniform(2, 15))
        found = json.dumps(summarise(prompt, schema), ensure_ascii=False)
        match self._chance.randrange(12):
            case 0:
                found = "Certainly! They talked about quite a lot."
            case 1:
                found = json.dumps({"verdict": 42})
            case 2:
                found = found.replace('"facts"', f'"{"x" * 20_000}"')
            case 3:
                raise TextModelFailed("slow-model is busy", retryable=True)
            case 4:
                await asyncio.sleep(10_000)
        return Generated(found, (len(prompt) + len(found)) // 4)


def hold_call(
    *,
    minutes: float = MINUTES,
    seed: int = 0,
    spec: AgentSpec | None = None,
    vertexai: bool = False,
    piece_ms: int = _PIECE_MS,
    rates: Rates = RATES,
    estimate: Callable[[LiveSession], int | None] | None = None,
    **options: Any,
) -> LongCall:
    """Hold the call and return what became of it; the same seed makes the same call.

    Args:
        minutes: How long.
        seed: For everything that varies.
        spec: The agent.
        vertexai: Which surface of the Live API.
        piece_ms: Of caller audio at once, a divisor of 100.
        rates: What the model's server counts for a second of audio.
        estimate: Asks the session how much its model holds.
        options: More arguments of the session.
    """
    # Delays between tries come from the module's own source.
    random.seed(seed)
    said = dialogue(minutes)
    twin = TwinInProcess(script(said), faults=faults(minutes, seed), rates=rates, seed=seed)
    call = LongCall(logs=twin.sessions)
    began_s = time.thread_time()
    with twin.reached():
        run(_hold(call, twin, said, spec or agent(), vertexai, piece_ms, estimate, seed, options))
    call.cpu_s = time.thread_time() - began_s
    return call


async def _hold(
    call: LongCall,
    twin: TwinInProcess,
    said: Sequence[Utterance],
    spec: AgentSpec,
    vertexai: bool,
    piece_ms: int,
    estimate: Callable[[LiveSession], int | None] | None,
    seed: int,
    options: Mapping[str, Any],
) -> None:
    clock = asyncio.get_running_loop().time
    phone = Phone()
    transcript = Transcript(phone, clock)
    session = LiveSession(
        spec=spec,
        opening=open_call(spec, variables={}),
        dialer=twin.dialer(vertexai=vertexai),
        tools=ToolRunner(
            built_in_tools(spec, FakeCallControl()),
            timeout_s=spec.limits.tool_timeout_s,
            clock=clock,
        ),
        transcript=transcript,
        playout=phone,
        clock=clock,
        on_move=partial(_moved, call, twin, said),
        **options,
    )
    phone.session = session
    session.listen(phone)
    person = Person(session, phone, piece_ms=piece_ms, seed=seed)
    call.spoken = person.spoken
    holding = asyncio.create_task(session.run(), name="session")
    sampling = asyncio.create_task(_sample(call, twin, session, estimate), name="sampler")
    talking = asyncio.create_task(person.talk(said), name="caller")
    try:
        await asyncio.wait({holding, talking, sampling}, return_when=asyncio.FIRST_COMPLETED)
        call.seconds = clock() - START_S
        if not holding.done():
            session.end(EndReason.CALLER_HUNG_UP)
        call.end = await holding
        for task in (talking, sampling):
            if task.done():
                task.result()
    finally:
        for task in (talking, sampling):
            task.cancel()
        call.moves = session.moves
        call.counters = session.counters
        call.fillers = phone.fillers
        await twin.stop()


def _moved(
    call: LongCall, twin: TwinInProcess, said: Sequence[Utterance], record: MoveRecord
) -> None:
    log = twin.serving
    if log is None:
        return
    lines = [text for _, text in log.memory]
    # What the caller has just begun to say cannot be in it yet.
    told = sum(one.fact is not None for one in said[: max(0, len(call.spoken) - 2)])
    text = "\n".join([log.system_instruction, *lines])
    call.given.append(Given(log.number, record.done_s, told, text))


async def _sample(
    call: LongCall,
    twin: TwinInProcess,
    session: LiveSession,
    estimate: Callable[[LiveSession], int | None] | None,
) -> None:
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(1.0)
        log = twin.serving
        if log is not None:
            guess = None if estimate is None else estimate(session)
            at_s = loop.time() - START_S
            call.samples.append(Sample(at_s, log.number, log.context_tokens, guess))

"""Rules of the Live side that hold for any input."""

from __future__ import annotations

import json
from typing import Any, get_args

from google.genai import types
from hypothesis import given
from hypothesis import strategies as st

from agent import commands, events
from agent.audio import PcmChunk
from agent.commands import ToolResponse
from agent.conversation.prompt import Opening
from agent.conversation.record import EndReason, MoveCause
from agent.errors import LiveConnectFailed, LocalProtocolError
from agent.live import codec
from agent.live.caller_speech import CallerSpeechEnded, CallerSpeechStarted
from agent.live.lifecycle import Lifecycle
from agent.live.models import profile_for
from agent.live.resumption import Departure
from agent.live.session_events import (
    BudgetSpent,
    CaughtUp,
    ConnectFailed,
    ConnectionClosed,
    EndRequested,
    FillerDue,
    GoodbyeHeard,
    KeysPressed,
    LeaveDeadlineReached,
    LeaveWanted,
    Opened,
    RetryDue,
    SafePointReached,
    SessionEvent,
    SpokenOver,
    StandbyLost,
    Started,
)
from agent.live.state import State
from agent.live.watchdog import AnswerOverdue, AnswerSlow, DurationReached, IdleReached
from agent.spec import AgentSpec, Limits, Moves
from agent.tools.runner import ClosingRequested, ToolAnswers
from tests.properties.speaking_on import receive

LIVE_EVENTS = get_args(events.LiveEvent)

# Keys the Live API uses, so that garbage gets past the first look.
KEYS = [
    *("setupComplete", "serverContent", "toolCall", "toolCallCancellation", "usageMetadata"),
    *("goAway", "sessionResumptionUpdate", "voiceActivity", "modelTurn", "parts", "inlineData"),
    *("mimeType", "data", "text", "thought", "interrupted", "turnComplete", "finished"),
    *("generationComplete", "inputTranscription", "outputTranscription", "interactionStatus"),
    *("turnCompleteReason", "functionCalls", "id", "ids", "name", "args", "timeLeft", "newHandle"),
    *("resumable", "promptTokenCount", "candidatesTokenCount", "type", "unheardOf", "error"),
]
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.text(max_size=20)
    | st.sampled_from(["audio/pcm", "audio/pcm;rate=24000", "AAAA", "IDLE", "50s"])
)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)
    ),
    max_leaves=20,
)
SERVER_CONTENT = st.fixed_dictionaries(
    {},
    optional={
        "modelTurn": JSON
        | st.fixed_dictionaries(
            {"parts": st.lists(st.fixed_dictionaries({"inlineData": JSON}), max_size=3)}
        ),
        "interrupted": JSON,
        "turnComplete": JSON,
        "outputTranscription": JSON,
        "interactionStatus": JSON,
        "turnCompleteReason": JSON,
    },
)
MESSAGES = st.fixed_dictionaries(
    {}, optional={"serverContent": SERVER_CONTENT, "toolCall": JSON, "usageMetadata": JSON}
)


@given(st.binary(max_size=300) | st.text(max_size=300))
def test_any_frame_gives_events(raw: bytes | str) -> None:
    """Whatever bytes come over the socket, decoding returns events and raises nothing."""
    for event in codec.decode(raw.encode("utf-8", "surrogatepass") if type(raw) is str else raw):
        assert isinstance(event, LIVE_EVENTS)


@given(JSON | MESSAGES)
def test_any_json_gives_events(message: Any) -> None:
    """Likewise for well-formed JSON with the API's own keys in any place."""
    for event in codec.decode(json.dumps(message)):
        assert isinstance(event, LIVE_EVENTS)
        if isinstance(event, events.AudioReceived):
            assert len(event.audio.pcm) % 2 == 0


@given(st.lists(st.binary(max_size=200).map(lambda pcm: pcm[: len(pcm) // 2 * 2]), max_size=4))
def test_audio_reads_the_same_directly_and_through_the_sdk(pieces: list[bytes]) -> None:
    """The direct path and the SDK's types agree on every audio frame."""
    parts = [types.Part.from_bytes(data=pcm, mime_type="audio/pcm;rate=24000") for pcm in pieces]
    message = types.LiveServerMessage(
        server_content=types.LiveServerContent(model_turn=types.Content(parts=parts))
    )
    raw = message.model_dump_json(exclude_none=True, by_alias=True)
    assert codec.decode(raw) == codec.events_of(message)


@given(st.text())
def test_cleaned_text_can_be_sent(text: str) -> None:
    """Cleaned text is encodable and holds no control character but tab and line breaks."""
    cleaned = codec.clean_text(text)
    assert len(cleaned) == len(text)
    assert all(char >= " " or char in "\t\n\r" for char in cleaned)
    cleaned.encode()


IDS = st.sampled_from(["a", "b", "c", "d"])
AUDIO = events.AudioReceived(PcmChunk(b"\0\x10" * 240, 24_000))
EVENTS: st.SearchStrategy[SessionEvent] = st.one_of(
    st.sampled_from(
        [
            Opened(1),
            Opened(2),
            ConnectFailed(LiveConnectFailed("no route"), 1),
            ConnectFailed(LiveConnectFailed("refused", setup_sent=True), 2),
            ConnectionClosed(),
            StandbyLost(2),
            CaughtUp(),
            RetryDue(),
            FillerDue(),
            BudgetSpent(),
            SpokenOver(),
            LeaveWanted(Departure(MoveCause.AGE, 0.0, 0.0)),
            SafePointReached(),
            LeaveDeadlineReached(),
            AUDIO,
            events.Interrupted(),
            events.GenerationCompleted(),
            events.TurnCompleted(),
            events.InputTranscribed("hm"),
            events.OutputTranscribed("hm"),
            events.GoAwayReceived(50.0),
            events.ResumptionUpdated("h", True),
            events.ResumptionUpdated(None, False),
            events.UsageReported(1_000, 0, 1_000),
            events.MalformedReceived("x"),
            events.Unrecognised(("x",)),
            events.ConnectionLost(1011, ""),
            ClosingRequested("end_call"),
            ClosingRequested("transfer_call", "+15550100009"),
            EndRequested(EndReason.CALLER_HUNG_UP),
            KeysPressed("1"),
            CallerSpeechStarted(0.0),
            CallerSpeechEnded(0.0, 500.0),
            AnswerSlow(),
            AnswerOverdue(1.0),
            IdleReached(),
            DurationReached(),
            GoodbyeHeard(),
        ]
    ),
    st.lists(IDS, min_size=1, max_size=3, unique=True).map(
        lambda ids: events.ToolCallsRequested(tuple(events.FunctionCall(i, "f") for i in ids))
    ),
    st.lists(IDS, min_size=1, max_size=3).map(lambda ids: events.ToolCallsCancelled(tuple(ids))),
    st.lists(IDS, min_size=1, max_size=3, unique=True).map(
        lambda ids: ToolAnswers(tuple(ToolResponse(i, "f", {}) for i in ids))
    ),
)


@given(
    st.lists(st.tuples(EVENTS, st.floats(0, 20), st.floats(0, 5_000)), max_size=40),
    st.sampled_from(["gemini-3.8-live", "gemini-2.5-flash-native-audio-latest"]),
    st.booleans(),
    st.booleans(),
)
def test_lifecycle_takes_any_event_in_any_order(
    steps: list[tuple[SessionEvent, float, float]], model: str, kept_greeting: bool, standby: bool
) -> None:
    """Each row of the table works, whatever came before, or the table has none.

    Tools run at most once, there is always a deadline, and nothing comes after the end.
    """
    greeting = PcmChunk(bytes(1_600), 8_000) if kept_greeting else None
    life = Lifecycle(
        spec=AgentSpec(
            name="test",
            system_instruction="Be kind.",
            model=model,
            limits=Limits(max_call_s=100, idle_s=30),
            moves=Moves(standby=standby),
        ),
        opening=Opening("Be kind.", greeting="Hello.", greeting_audio=greeting),
        profiles=lambda name: profile_for(name, vertexai=False),
        now=0.0,
    )
    ran: set[str] = set()
    now = 0.0

    def feed(event: SessionEvent) -> None:
        ended = life.state is State.ENDED
        try:
            out = receive(life, event, now)
        except LocalProtocolError:
            assert not ended
            return
        assert not (ended and out)
        for command in out:
            match command:
                case commands.RunTools(calls):
                    ids = {call.id for call in calls}
                    assert not ids & ran
                    ran.update(ids)
                case commands.SendText():
                    assert not life.tools_pending
        assert (life.end is None) == (life.state is not State.ENDED)

    feed(Started())
    for event, pause_s, pending_ms in steps:
        now += pause_s
        feed(event)
        for _ in range(20):
            due = life.tick(now, pending_ms=pending_ms)
            if due is None:
                break
            feed(due)
        else:
            raise AssertionError("time brings events without end")
        if life.state is not State.ENDED:
            assert life.deadline < now + 101

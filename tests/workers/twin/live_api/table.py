"""A conversation with the simulated model, without sockets; time is a number here."""

from __future__ import annotations

import json
from typing import Any

from workers.twin import position_code, speech
from workers.twin.live_api import schema
from workers.twin.live_api.conversation import Conversation
from workers.twin.live_api.engine import Event
from workers.twin.live_api.memory import BLANK, Snapshot
from workers.twin.live_api.messages import (
    AudioIn,
    ClientMessage,
    FunctionAnswer,
    ToolResponseIn,
)
from workers.twin.live_api.quirks import SOUND, Quirks
from workers.twin.live_api.script import CallTool, LiveScript, Say, TextRule, Turn
from workers.twin.live_api.session_log import SessionLog
from workers.twin.live_api.setup import read_setup
from workers.twin.live_api.understanding import Understanding
from workers.twin.live_api.usage import RATES, Rates

V38 = "models/gemini-3.8-live"
V31 = "models/gemini-3.1-flash-live-preview"
V25 = "models/gemini-2.5-flash-native-audio-latest"
VERTEX = "publishers/google/models/gemini-live-2.5-flash-native-audio"
HALF_CASCADE = "publishers/google/models/gemini-live-2.5-flash"

SCRIPT = LiveScript(
    opening=(Say("agent_greeting"),),
    turns=(
        Turn("caller_hours", (Say("agent_hours"),)),
        Turn("caller_barge", (Say("agent_order"),)),
        Turn("caller_bye", (CallTool("end_call"), Say("agent_bye"))),
    ),
    texts=(
        TextRule(
            r"pressed (\d)",
            (CallTool("order_status", {"order_number": "{1}"}), Say("agent_ready")),
        ),
    ),
)


class Table:
    """A conversation, its clock, and everything the server said with its time."""

    def __init__(
        self,
        model: str = V38,
        script: LiveScript = SCRIPT,
        *,
        snapshot: Snapshot = BLANK,
        understanding: Understanding | None = None,
        quirks: Quirks = SOUND,
        transcribes: bool = True,
        seed: int = 0,
        window_tokens: int | None = None,
        rates: Rates = RATES,
        **setup: Any,
    ) -> None:
        functions = [{"name": name} for name in ("order_status", "end_call")]
        raw: dict[str, Any] = {
            "model": model,
            "sessionResumption": {},
            "tools": [{"functionDeclarations": functions}],
        }
        if transcribes:
            raw |= {"inputAudioTranscription": {}, "outputAudioTranscription": {}}
        checked = schema.check(raw | setup, schema.SETUP, "setup")
        accepted = read_setup(
            checked, vertex=model.startswith("publishers/"), window_tokens=window_tokens
        )
        self.log = SessionLog(number=1, path="", headers={}, opened_at=0.0)
        self.snapshots: list[Snapshot] = []
        self.engine = Conversation(
            accepted,
            script,
            self.log,
            new_handle=self._handle,
            snapshot=snapshot,
            understanding=understanding,
            quirks=quirks,
            rates=rates,
            seed=seed,
        )
        self.now = 0.0
        self.said: list[tuple[float, dict[str, Any]]] = []
        self.events: list[Event] = []

    def _handle(self, snapshot: Snapshot) -> str:
        self.snapshots.append(snapshot)
        return f"handle-{len(self.snapshots)}"

    def send(self, message: ClientMessage) -> None:
        self.engine.receive(message, self.now)
        self.take()

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self.engine.deadline is not None and self.engine.deadline <= end:
            self.now = max(self.now, self.engine.deadline)
            self.engine.wake(self.now)
            self.take()
        self.now = end

    def hear(self, pcm: bytes) -> None:
        """Play PCM16 of 16 kHz to the server in real time."""
        for at in range(0, len(pcm), 640):
            self.send(AudioIn(pcm[at : at + 640], 16_000))
            self.run(0.02)

    def line(self, name: str, silence_s: float = 0.7) -> None:
        self.hear(speech.line(name).at_rate(16_000).pcm + bytes(int(silence_s * 16_000) * 2))

    def coded(self, first: int, frames: int = 60, quiet: int = 35) -> None:
        """Speak frames with position codes from ``first`` on, then fall silent, the codes too."""
        spoken = position_code.encode_run(first, frames, rate_hz=16_000)
        rest = position_code.encode_run(first + frames, quiet, rate_hz=16_000, loud=False)
        self.hear(spoken + rest)

    def take(self) -> None:
        taken = self.engine.take()
        self.events += [send.event for send in taken if send.event is not None]
        self.said += [(self.now, json.loads(send.data)) for send in taken if send.data]

    def fields(self) -> list[str]:
        """Name what came, audio and transcripts of an answer once each."""
        names: list[str] = []
        for _, message in self.said:
            for name in message.get("serverContent", message):
                if name == "usageMetadata" or (names and names[-1] == name):
                    continue
                names.append(name)
        return names

    def content(self, field: str) -> list[tuple[float, Any]]:
        return [
            (at, message["serverContent"][field])
            for at, message in self.said
            if field in message.get("serverContent", {})
        ]

    def heard_text(self, field: str) -> str:
        return "".join(part.get("text", "") for _, part in self.content(field))

    def calls(self) -> list[dict[str, Any]]:
        messages = [m["toolCall"] for _, m in self.said if "toolCall" in m]
        return [call for message in messages for call in message["functionCalls"]]

    def answer(self, call: dict[str, Any], scheduling: str = "", **response: Any) -> None:
        answer = FunctionAnswer(call["id"], call["name"], response, scheduling)
        self.send(ToolResponseIn((answer,)))

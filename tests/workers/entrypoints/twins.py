"""Both twins, and the environment that leads the commands to them."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from agent.spec import load_agent
from workers.entrypoints.worker import Worker, run_worker
from workers.settings import load_settings
from workers.twin.live_api.script import LiveScript, Say, ScriptSource
from workers.twin.live_api.server import LiveTwin
from workers.twin.twilio_api.server import TwilioTwin

API_KEY = "key-of-the-twin"
OURS = "+15550100002"
GREETING = "Hello, the bakery."
# Not recorded, so the twin babbles it.
SPEECH = LiveScript(opening=(Say(GREETING),), otherwise=(Say("We open at seven."),))
AGENT = {
    "name": "bakery",
    "system_instruction": "You are a baker.",
    "voice": "Kore",
    "greeting": {"text": GREETING},
    "tools": ["end_call"],
    "limits": {"connect_timeout_s": 5, "answer_timeout_s": 5},
}


@dataclass(frozen=True, slots=True)
class World:
    live: LiveTwin
    twilio: TwilioTwin
    port: int
    public_url: str
    agent: Path
    data_dir: Path

    @asynccontextmanager
    async def served(self) -> AsyncIterator[Worker]:
        """What ``evercall serve`` runs, with the settings as they are now."""
        spec = load_agent(self.agent)
        async with run_worker(load_settings(None), spec, host="127.0.0.1", port=self.port) as it:
            yield it

    def point(self, public_url: str | None = None) -> None:
        """Set the number's webhooks, as somebody did at Twilio's console."""
        number = self.twilio.numbers[OURS]
        number.voice_url = f"{public_url or self.public_url}/voice"
        number.status_callback = f"{public_url or self.public_url}/voice/status"


@asynccontextmanager
async def twins(
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    *,
    script: ScriptSource = SPEECH,
    numbers: Sequence[str] = (OURS,),
) -> AsyncIterator[World]:
    bare_environment(monkeypatch)
    # There may be a .env where the tests were started.
    monkeypatch.chdir(folder)
    agent = folder / "agent.yaml"
    agent.write_text(yaml.safe_dump(AGENT, sort_keys=False))
    port = free_port()
    async with LiveTwin(script, api_key=API_KEY) as live, TwilioTwin(numbers=numbers) as twilio:
        world = World(live, twilio, port, f"http://127.0.0.1:{port}", agent, folder / "data")
        for name, value in {
            "GOOGLE_API_KEY": API_KEY,
            "GOOGLE_GEMINI_BASE_URL": live.base_url,
            "SSL_CERT_FILE": live.ca_file,
            "TWILIO_ACCOUNT_SID": twilio.account_sid,
            "TWILIO_AUTH_TOKEN": twilio.auth_token,
            "EVERCALL_TWILIO_BASE_URL": twilio.base_url,
            "EVERCALL_PUBLIC_URL": world.public_url,
            "EVERCALL_PHONE_NUMBER": OURS,
            "EVERCALL_DATA_DIR": str(world.data_dir),
        }.items():
            monkeypatch.setenv(name, value)
        yield world


def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("EVERCALL_", "TWILIO_", "GOOGLE_", "GEMINI_", "SSL_CERT")):
            monkeypatch.delenv(name)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port

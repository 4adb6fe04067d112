"""The agent's file, and one real Live session with it: key, model, voice and tools."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

from google.genai import types

from agent.conversation.prompt import open_call
from agent.errors import AgentSpecError, LiveConnectRefused, LiveError
from agent.live.dialer import LiveDialer
from agent.live.settings import LiveSettings
from agent.spec import AgentSpec, load_agent
from agent.tools.call_control import built_in_tools
from agent.tools.declarations import importable_issues, load_tools
from workers.entrypoints.checks.configured import mend_of
from workers.entrypoints.checks.finding import Finding, fail, ok

# Where there is no agent's file, the key can still be tried, with the defaults of everything else.
STAND_IN = AgentSpec(name="doctor", system_instruction="Say nothing.")
CONNECT_TIMEOUT_S = 15.0


async def check_agent(file: Path) -> tuple[AgentSpec, list[Finding]]:
    """The agent to try the Live API with, and what is wrong with its file."""
    # In a thread: it imports the operator's modules.
    return await asyncio.to_thread(_check_agent, file)


async def check_live_api(settings: LiveSettings, spec: AgentSpec) -> list[Finding]:
    """Open a session and close it; nothing is said in it, so it costs nothing."""
    opening = open_call(spec, variables={"caller": "", "called": ""}, history=[])
    started = time.monotonic()
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            dialer = LiveDialer(settings)
            connection = await dialer.connect(spec, opening, _declarations(spec))
    except TimeoutError:
        return [_no_session(f"no session within {CONNECT_TIMEOUT_S:g} s")]
    except LiveConnectRefused as error:
        return [fail(str(error), mend_of(error.setting))]
    except LiveError as error:
        return [_no_session(str(error))]
    took_s = time.monotonic() - started
    await connection.close()
    return [ok(f"model {spec.model} with voice {spec.voice}: session open after {took_s:.1f} s")]


def _check_agent(file: Path) -> tuple[AgentSpec, list[Finding]]:
    mend = "mend the line; `evercall agent check FILE` looks again"
    try:
        spec = load_agent(file)
    except AgentSpecError as error:
        return STAND_IN, [fail(str(issue), mend) for issue in error.issues]
    if issues := importable_issues(spec):
        return spec, [fail(str(issue), mend) for issue in issues]
    return spec, [ok(f"{file}: {spec.name}, {len(spec.tools)} tools")]


def _declarations(spec: AgentSpec) -> Sequence[types.FunctionDeclaration]:
    try:
        own = load_tools(spec)
    except AgentSpecError:
        own = {}  # told by check_agent
    tools = {**own, **built_in_tools(spec, _NoCall())}
    return [tool.declaration for tool in tools.values()]


def _no_session(text: str) -> Finding:
    return fail(text, "try again in a minute; then look at this host's way to the internet")


class _NoCall:
    """A ``CallControl`` that is never used: tools are declared, not run."""

    async def send_digits(self, digits: str) -> None:
        """There is no phone."""

    async def opt_out(self) -> bool:
        """There is nobody."""
        return False

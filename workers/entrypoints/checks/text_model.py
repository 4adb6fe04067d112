"""The text model that keeps the summaries of long calls: one small summary."""

from __future__ import annotations

import json
import time

from agent.context.settings import TextModelSettings
from agent.context.summarizer import GeminiTextModel
from agent.context.text_model import TextModelFailed
from workers.entrypoints.checks.configured import mend_of
from workers.entrypoints.checks.finding import Finding, fail, ok, warn

# Summaries have 20 s unless the agent's file says otherwise, for far more text than this.
TIMEOUT_S = 20.0
_NAME = "Ada Lovelace"
_PROMPT = (
    "Who is calling? Answer with one JSON object that has the caller's name in the field caller.\n"
    f"Caller: Hello, my name is {_NAME}."
)
_SCHEMA = {
    "type": "object",
    "properties": {"caller": {"type": "string", "description": "The caller's name."}},
    "required": ["caller"],
}
_QUOTA = (
    "raise the quota (ai.dev/rate-limit shows it, on Vertex AI the Cloud console), or name another "
    "model under context.summary.model"
)
_AGAIN = "try again in a minute; then look at this host's way to the internet"
_OTHER = "name another text model under context.summary.model"
_ANSWERED = "try again in a minute; then name another text model under context.summary.model"


async def check_text_model(
    model: str, settings: TextModelSettings, *, allowed_s: float = TIMEOUT_S
) -> list[Finding]:
    """Ask for one small summary. Calls work without any, but not with a setting that is wrong.

    Args:
        model: Its name.
        settings: Where it is.
        allowed_s: How long calls wait for a summary.
    """
    text_model = GeminiTextModel(model, settings, timeout_s=TIMEOUT_S)
    try:
        text_model.check()
    except TextModelFailed as error:
        # The worker does not start with it.
        return [fail(str(error), _mend(error))]
    started = time.monotonic()
    try:
        answer = await text_model.generate(_PROMPT, schema=_SCHEMA)
    except TextModelFailed as error:
        return [warn(f"no summaries by {model}: {error}", _mend(error))]
    finally:
        await text_model.close()
    took_s = time.monotonic() - started
    if not _is_right(answer.text):
        text = f"{model} answers after {took_s:.1f} s, but not in the shape that was asked for"
        return [warn(text, _OTHER)]
    if took_s > allowed_s:
        text = f"{model} answers after {took_s:.1f} s, and calls wait for {allowed_s:g} s"
        return [warn(text, f"raise context.summary.timeout_s, or {_OTHER}")]
    return [ok(f"{model}: a summary after {took_s:.1f} s, {answer.tokens} tokens")]


def _is_right(text: str) -> bool:
    try:
        found = json.loads(text)
    except ValueError:
        return False
    return isinstance(found, dict) and _NAME in str(found.get("caller"))


def _mend(error: TextModelFailed) -> str:
    if error.setting is None:
        if not error.retryable:
            return _OTHER
        # Tokens: the way to it is good.
        return _ANSWERED if error.tokens else _AGAIN
    return _QUOTA if error.retryable else mend_of(error.setting)

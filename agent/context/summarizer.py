"""Asks a Gemini text model for the running summary: ``generate_content``, JSON in a given shape.

One client per process, off the way that audio takes: what blocks for longer (certificates,
credentials, the SDK's own models) is made ready beforehand and in a thread, and a request that is
given up closes its connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import google.auth
import httpx
from google import genai
from google.auth.credentials import Credentials
from google.genai import errors as genai_errors
from google.genai import types

from agent.context.settings import TextModelSettings
from agent.context.text_model import Generated, TextModelFailed
from agent.context.text_refusal import explain, trust
from agent.text import UNSENDABLE

# The SDK's default for 2.x, named because 3.x moves to v1 (as in agent/live/dialer.py).
_API_VERSION = "v1beta"
_SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)
# The longest that an agent's file may allow (agent/spec.py, SummarySettings): nothing waits longer.
TIMEOUT_S = 120.0
# At worst a token is one character; names of fields and punctuation come on top. What the model
# thinks counts as well (ai.google.dev/gemini-api/docs/thinking), and some cannot but think.
_SHAPE_TOKENS = 1_024
_THINKING_TOKENS = 4_096

_Thinking = types.ThinkingConfig | None
_NONE = types.ThinkingConfig(thinking_budget=0)
_LEAST = types.ThinkingConfig(thinking_budget=128)
_MINIMAL = types.ThinkingConfig(thinking_level=types.ThinkingLevel.MINIMAL)
_LOW = types.ThinkingConfig(thinking_level=types.ThinkingLevel.LOW)
# As little thinking as the model allows, the least first: a summary needs none, and waits for it.
# 2.5 has budgets, 2.5 Pro from 128; 3 and later have levels, Pro and from 3.7 on without MINIMAL
# (docs.cloud.google.com, Vertex AI thinking; theJayTea/WritingTools#282). None leaves it unset,
# which older models and Gemma insist on.
_THINKING: Sequence[tuple[re.Pattern[str], tuple[_Thinking, ...]]] = (
    (re.compile(r"gemini-2\.5-pro"), (_LEAST, None)),
    (re.compile(r"gemini-2\.5"), (_NONE, None)),
    (re.compile(r"gemini-3.*-pro|gemini-3\.[7-9]"), (_LOW, None)),
    (re.compile(r"gemini-[12]\b|gemma"), (None,)),
    (re.compile(r"gemini"), (_MINIMAL, _LOW, None)),
)
# Gemini 3 and later are to be left at their default: less may make them loop, and from 3.5
# Flash-Lite on it is ignored (ai.google.dev/gemini-api/docs/gemini-3, whats-new-gemini-3.6).
_TAKES_TEMPERATURE = re.compile(r"gemini-[12]\b|gemma")
_SAYS_THINKING = re.compile(r"thinking", re.IGNORECASE)


class GeminiTextModel:
    """A text model of the Gemini Developer API or of Vertex AI, as the ``TextModel`` port.

    Args:
        model: Its name, with or without ``models/``.
        settings: Where it is and how we authenticate.
        max_chars: Bound on what the answer holds; a much longer one is cut off by the server.
        timeout_s: Bound on one request and on everything before it.
    """

    def __init__(
        self,
        model: str,
        settings: TextModelSettings,
        *,
        max_chars: int = 2_400,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._model = model
        self._settings = settings
        self._max_chars = max_chars
        self._timeout_s = timeout_s
        bare = model.rpartition("/")[2]
        self._thinking = next((way for name, way in _THINKING if name.match(bare)), (None,))
        self._temperature = 0.0 if _TAKES_TEMPERATURE.match(bare) else None
        self._client: genai.Client | None = None
        self._building: asyncio.Task[genai.Client] | None = None

    @property
    def name(self) -> str:
        """The model's name, as the agent's file gives it."""
        return self._model

    def check(self) -> None:
        """Find out what can be found out without asking.

        Raises:
            TextModelFailed: it names the setting.
        """
        settings = self._settings
        if settings.base_url and not settings.base_url.startswith("https://"):
            raise TextModelFailed(
                "must begin with https://", retryable=False, setting=settings.base_url_setting
            )
        if settings.ca_file is not None:
            trust(settings.ca_file)
        needed = "GOOGLE_CLOUD_PROJECT" if settings.vertexai else "GOOGLE_API_KEY"
        if not settings.api_key and not (settings.vertexai and settings.project):
            raise TextModelFailed("is not set", retryable=False, setting=needed)

    async def prepare(self) -> None:
        """Make the client ready, so that no call pays for it: in part it holds the interpreter.

        Raises:
            TextModelFailed: it cannot be made; it names the setting.
        """
        try:
            await self._ready_client()
        except Exception as error:  # Google's libraries raise what they like
            raise explain(error, settings=self._settings, model=self._model) from error

    async def generate(self, prompt: str, *, schema: Mapping[str, Any]) -> Generated:
        """Answer ``prompt`` in the shape of ``schema`` (JSON Schema); see ``TextModel``.

        Raises:
            TextModelFailed: there is no answer; it says why.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                client = await self._ready_client()
                response = await self._ask(client, prompt, schema)
        except Exception as error:  # the SDK raises whatever its libraries raise
            raise explain(error, settings=self._settings, model=self._model) from error
        return read(response, model=self._model)

    async def close(self) -> None:
        """Close what is open; nothing may be asked meanwhile or afterwards."""
        building, self._building = self._building, None
        if building is not None:
            await asyncio.wait({building})
            if not building.cancelled() and building.exception() is None:
                self._client = building.result()
        if self._client is not None:
            await self._client.aio.aclose()
            self._client.close()
            self._client = None

    async def _ask(
        self, client: genai.Client, prompt: str, schema: Mapping[str, Any]
    ) -> types.GenerateContentResponse:
        # These end Live sessions and are refused here, too.
        text = UNSENDABLE.sub(" ", prompt)
        while True:
            ways = self._thinking
            try:
                return await client.aio.models.generate_content(
                    model=self._model, contents=text, config=self._config(schema, ways[0])
                )
            except genai_errors.ClientError as error:
                about = error.message or ""
                if error.code != 400 or len(ways) == 1 or not _SAYS_THINKING.search(about):
                    raise
                if self._thinking is ways:
                    # For good: what a model allows does not change. Somebody else may have asked
                    # at the same time, and found out as well.
                    self._thinking = ways[1:]

    def _config(
        self, schema: Mapping[str, Any], thinking: _Thinking
    ) -> types.GenerateContentConfig:
        room = 0 if thinking is _NONE else _THINKING_TOKENS
        return types.GenerateContentConfig(
            temperature=self._temperature,
            max_output_tokens=self._max_chars + _SHAPE_TOKENS + room,
            response_mime_type="application/json",
            response_json_schema=dict(schema),
            thinking_config=thinking,
            automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
        )

    async def _ready_client(self) -> genai.Client:
        if self._client is not None:
            return self._client
        if self._building is None:
            self._building = asyncio.create_task(
                asyncio.to_thread(self._build_client), name="text model"
            )
        building = self._building
        try:
            # Whoever is cancelled leaves the client to the next.
            self._client = await asyncio.shield(building)
        finally:
            if building.done() and self._building is building:
                self._building = None
        return self._client

    def _build_client(self) -> genai.Client:
        self.check()
        settings = self._settings
        credentials: Credentials | None = None
        if settings.vertexai and not settings.api_key:
            credentials, _ = google.auth.default(scopes=_SCOPES)
        arguments: dict[str, object] = {}
        if settings.ca_file is not None:
            arguments["ssl"] = trust(settings.ca_file)
        client = genai.Client(
            vertexai=settings.vertexai,
            api_key=settings.api_key or None,
            credentials=credentials,
            project=settings.project if settings.vertexai else None,
            location=settings.location if settings.vertexai else None,
            http_options=types.HttpOptions(
                base_url=settings.base_url,
                api_version=None if settings.vertexai else _API_VERSION,
                async_client_args=arguments,
                client_args={"transport": httpx.MockTransport(_rehearsed)},
                # Without, the SDK sleeps up to 10 s and tries again by itself, loading certificates
                # on the event loop (2.34).
                retry_options=types.HttpRetryOptions(attempts=1),
            ),
        )
        # The SDK builds its models when they are first used, which would hold up the event loop for
        # 50 ms (measured, 2.34). The client's synchronous side goes nowhere but to this answer.
        with contextlib.suppress(Exception):
            client.models.generate_content(
                model=self._model,
                contents="Caller: Hello.",
                config=self._config({"type": "object"}, self._thinking[0]),
            )
        return client


def _rehearsed(request: httpx.Request) -> httpx.Response:
    """What the rehearsal is answered with: a response that uses what real ones use."""
    details = [{"modality": "TEXT", "tokenCount": 1}]
    return httpx.Response(
        200,
        json={
            "candidates": [
                {
                    "content": {"role": "model", "parts": [{"text": "{}"}]},
                    "finishReason": "STOP",
                    "index": 0,
                }
            ],
            "promptFeedback": {"safetyRatings": []},
            "usageMetadata": {"promptTokenCount": 1, "promptTokensDetails": details},
            "modelVersion": "none",
            "responseId": "none",
        },
    )


def read(response: types.GenerateContentResponse, *, model: str) -> Generated:
    """Take the text out of a response.

    Raises:
        TextModelFailed: there is none, or not all of it.
    """
    usage = response.usage_metadata
    counts = (
        (usage.prompt_token_count, usage.candidates_token_count, usage.thoughts_token_count)
        if usage
        else ()
    )
    tokens = sum(count or 0 for count in counts)

    def failed(message: str) -> TextModelFailed:
        # Other words may fare better.
        return TextModelFailed(f"{model} {message}", retryable=True, tokens=tokens)

    if not response.candidates:
        feedback = response.prompt_feedback
        reason = feedback.block_reason if feedback else None
        raise failed(f"refused the prompt ({reason.value if reason else 'no reason given'})")
    candidate = response.candidates[0]
    finish = candidate.finish_reason
    if finish is types.FinishReason.MAX_TOKENS:
        raise failed("was cut off: its answer is too long")
    if finish not in (None, types.FinishReason.STOP, types.FinishReason.FINISH_REASON_UNSPECIFIED):
        raise failed(f"broke off ({finish.value})")
    parts = (candidate.content.parts if candidate.content else None) or ()
    text = "".join(part.text for part in parts if part.text and not part.thought)
    if not text.strip():
        raise failed("answered nothing")
    return Generated(text, tokens)

"""The real SDK against the simulated text model: what is asked, and what comes back."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import google.auth
import pytest
from google.auth import exceptions as auth_errors
from google.genai import types
from google.oauth2.credentials import Credentials

from agent.context.asking import RESPONSE_SCHEMA, accept, ask, parse
from agent.context.settings import TextModelSettings
from agent.context.summarizer import GeminiTextModel, read
from agent.context.text_model import TextModel, TextModelFailed
from agent.conversation.record import SummaryRecord
from workers.twin.live_api.server import LiveTwin
from workers.twin.text_model.server import TextModelTwin

MODEL = "gemini-3.5-flash-lite"
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "caller": {"type": "string"},
        "facts": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["caller", "facts"],
}
PROMPT = "Caller: My name is Ada. My number is 4711."
SUMMARY = {"caller": "Ada", "facts": ["My name is Ada.", "My number is 4711."]}

FIRST_REQUEST = """
import asyncio, sys, time
from agent.context.settings import TextModelSettings
from agent.context.summarizer import GeminiTextModel

async def main(base_url, ca_file):
    settings = TextModelSettings(api_key="test-key", base_url=base_url, ca_file=ca_file)
    model = GeminiTextModel("gemini-3.5-flash-lite", settings)
    await model.prepare()
    took = []
    for _ in range(6):
        started = time.thread_time()
        await model.generate("Caller: Hello.", schema={"type": "object", "properties": {}})
        took.append(time.thread_time() - started)
    print(took[0] / min(took[1:]))
    await model.close()

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture
async def twin() -> AsyncIterator[TextModelTwin]:
    async with TextModelTwin() as found:
        yield found


@pytest.fixture
async def model(twin: TextModelTwin) -> AsyncIterator[GeminiTextModel]:
    found = at(twin)
    yield found
    await found.close()


def at(twin: TextModelTwin, model: str = MODEL, **settings: Any) -> GeminiTextModel:
    given = {"api_key": "test-key", "base_url": twin.base_url, "ca_file": twin.ca_file, **settings}
    return GeminiTextModel(model, TextModelSettings(**given))


async def failure(model: TextModel, prompt: str = PROMPT) -> TextModelFailed:
    with pytest.raises(TextModelFailed) as caught:
        await model.generate(prompt, schema=SCHEMA)
    return caught.value


async def test_answer_is_json_with_its_cost(twin: TextModelTwin, model: GeminiTextModel) -> None:
    """Prompt and answer are counted together, as the model counted them."""
    found = await model.generate(PROMPT, schema=SCHEMA)
    assert json.loads(found.text) == SUMMARY
    assert found.tokens == -(-len(PROMPT) // 4) + -(-len(found.text) // 4)
    assert model.name == MODEL
    (asked,) = twin.asked
    assert asked.prompt == PROMPT
    assert asked.question.config == {
        "responseMimeType": "application/json",
        "responseJsonSchema": SCHEMA,
        "maxOutputTokens": 2_400 + 1_024 + 4_096,
        "thinkingConfig": {"thinkingLevel": "MINIMAL"},
    }


async def test_summary_grows_by_what_is_asked_of_the_model(
    twin: TextModelTwin, model: GeminiTextModel
) -> None:
    """The real request, twice: what was known comes back, with what was said since."""
    summary: SummaryRecord | None = None
    for lines in (
        ["Caller: Hello, my name is Ada. I'd like to change order 4711."],
        ["You: I will call you on Friday.", 'Caller: They call my street "Long Row" 12.'],
    ):
        found = await model.generate(ask(summary, lines), schema=RESPONSE_SCHEMA)
        summary = accept(summary, parse(found.text, max_chars=2_400), max_chars=2_400)
    assert summary is not None
    assert summary.caller == "Ada"
    assert any("4711" in fact for fact in summary.facts)
    assert 'They call my street "Long Row" 12.' in summary.facts
    assert summary.promises == ("I will call you on Friday.",)


@pytest.mark.parametrize(
    ("model", "thinking", "temperature"),
    [
        ("gemini-2.5-flash", {"thinkingBudget": 0}, 0),
        ("models/gemini-2.5-flash-lite", {"thinkingBudget": 0}, 0),
        ("gemini-2.5-pro", {"thinkingBudget": 128}, 0),
        ("gemini-3-flash-preview", {"thinkingLevel": "MINIMAL"}, None),
        ("gemini-3.1-pro-preview", {"thinkingLevel": "LOW"}, None),
        ("gemini-3.8-flash", {"thinkingLevel": "LOW"}, None),
        ("gemma-4-31b-it", None, 0),
    ],
)
async def test_model_thinks_as_little_as_it_can(
    twin: TextModelTwin, model: str, thinking: object, temperature: float | None
) -> None:
    """Each generation has its own way to say so; Gemini 3 keeps its own temperature."""
    found = at(twin, model)
    await found.generate(PROMPT, schema=SCHEMA)
    await found.close()
    assert twin.refusals == []
    config = twin.asked[0].question.config
    assert config.get("thinkingConfig") == thinking
    assert config.get("temperature") == temperature


async def test_way_of_thinking_that_is_refused_is_given_up_for_good(
    twin: TextModelTwin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that this program does not know is asked the next way, and that way from then on."""
    served = {"gemini-4-new": "low", "gemini-5-new": "never"}
    monkeypatch.setattr("workers.twin.text_model.request.MODELS", served)
    for model, refused, thinking in (
        ("gemini-4-new", 1, {"thinkingLevel": "LOW"}),
        ("gemini-5-new", 2, None),
    ):
        twin.refusals.clear()
        twin.asked.clear()
        found = at(twin, model)
        await asyncio.gather(*(found.generate(PROMPT, schema=SCHEMA) for _ in range(2)))
        # Two at once may both find out.
        assert refused <= len(twin.refusals) <= 2 * refused
        known = len(twin.refusals)
        await found.generate(PROMPT, schema=SCHEMA)
        await found.close()
        assert len(twin.refusals) == known
        assert [one.question.config.get("thinkingConfig") for one in twin.asked] == [thinking] * 3


async def test_room_for_the_answer_follows_its_bound(twin: TextModelTwin) -> None:
    """A model that does not think needs none for that."""
    settings = TextModelSettings(api_key="test-key", base_url=twin.base_url, ca_file=twin.ca_file)
    found = GeminiTextModel("gemini-2.5-flash", settings, max_chars=8_000)
    await found.generate(PROMPT, schema=SCHEMA)
    await found.close()
    assert twin.asked[0].question.max_tokens == 8_000 + 1_024


async def test_characters_that_no_model_takes_are_removed(
    twin: TextModelTwin, model: GeminiTextModel
) -> None:
    """Half a surrogate pair or a control character does not cost the summary."""
    await model.generate("Caller: My name\x07 is \ud83d Ada.", schema=SCHEMA)
    assert twin.asked[0].prompt == "Caller: My name  is   Ada."


@pytest.mark.parametrize(
    ("recipe", "retryable", "setting", "told"),
    [
        ("error(400)", False, "context.summary.model", "does not take the request (HTTP 400"),
        ("error(401)", False, "GOOGLE_API_KEY", "was refused for gemini-3.5-flash-lite (HTTP 401"),
        ("error(403)", False, "GOOGLE_API_KEY", "was refused"),
        ("error(404)", False, "context.summary.model", "is not to be had here (HTTP 404"),
        ("error(429)", True, "GOOGLE_API_KEY", "the quota for gemini-3.5-flash-lite is used up"),
        ("error(500)", True, None, "is not available (HTTP 500: An internal error"),
        ("error(503)", True, None, "is not available (HTTP 503: The model is overloaded"),
        ("error(504)", True, None, "is not available (HTTP 504"),
        ("blocked", True, None, "refused the prompt (PROHIBITED_CONTENT)"),
        ("truncated", True, None, "was cut off: its answer is too long"),
        ("empty", True, None, "answered nothing"),
    ],
)
async def test_failure_says_what_to_look_at(
    twin: TextModelTwin,
    model: GeminiTextModel,
    recipe: str,
    retryable: bool,
    setting: str | None,
    told: str,
) -> None:
    """One sentence for the operator, and whether another request may fare better."""
    twin.behave(f"{recipe}, ok")
    error = await failure(model)
    assert told in str(error)
    assert (error.retryable, error.setting) == (retryable, setting)
    if setting is not None:
        assert str(error).startswith(f"{setting}: ")
    # Nothing is tried again behind the caller's back.
    assert len(twin.asked) == 1
    assert json.loads((await model.generate(PROMPT, schema=SCHEMA)).text) == SUMMARY


async def test_failed_attempt_that_was_counted_tells_its_cost(
    twin: TextModelTwin, model: GeminiTextModel
) -> None:
    """What is paid for is known, with or without a summary to show for it."""
    twin.behave("truncated, blocked, error(503)")
    assert (await failure(model)).tokens > -(-len(PROMPT) // 4)
    assert (await failure(model)).tokens == -(-len(PROMPT) // 4)
    assert (await failure(model)).tokens == 0


@pytest.mark.parametrize("recipe", ["nonsense", "wrong_shape", "too_long"])
async def test_wrong_text_is_passed_on(
    twin: TextModelTwin, model: GeminiTextModel, recipe: str
) -> None:
    """Whether an answer can be used is for its reader to say; it has cost what it has cost."""
    twin.behave(recipe)
    found = await model.generate(PROMPT, schema=SCHEMA)
    assert found.text == twin.asked[0].text
    assert found.tokens >= len(found.text) // 4


async def test_wrong_key_is_named(twin: TextModelTwin) -> None:
    """Google says it with a 400."""
    model = at(twin, api_key="another")
    error = await failure(model)
    await model.close()
    assert str(error).startswith("GOOGLE_API_KEY: was refused for")
    assert not error.retryable
    assert "another" not in str(error)


async def test_unknown_model_is_named(twin: TextModelTwin) -> None:
    """The field of the agent's file is told, and what the server says."""
    model = at(twin, "gemini-0")
    error = await failure(model)
    await model.close()
    assert str(error).startswith("context.summary.model: 'gemini-0' is not to be had here")
    assert not error.retryable


async def test_address_of_the_live_api_alone_is_named() -> None:
    """A proxy that knows nothing but the Live API says so to the operator, not to the caller."""
    async with LiveTwin() as live:
        model = GeminiTextModel(
            MODEL,
            TextModelSettings(
                api_key="test-key",
                base_url=live.base_url,
                base_url_setting="GOOGLE_GEMINI_BASE_URL",
                ca_file=live.ca_file,
            ),
        )
        error = await failure(model)
        await model.close()
    assert str(error).startswith(f"{live.base_url} cannot be reached: ")
    assert str(error).endswith("; look at GOOGLE_GEMINI_BASE_URL")


async def test_page_in_place_of_the_api_is_named(twin: TextModelTwin) -> None:
    """Something else stands at the address; its HTML is not repeated."""
    model = at(twin, base_url=f"{twin.base_url}/portal")
    error = await failure(model)
    await model.close()
    assert str(error).startswith("EVERCALL_TEXT_BASE_URL: ")
    assert "knows no text models (HTTP 404)" in str(error)


async def test_strange_certificate_is_named(twin: TextModelTwin) -> None:
    """Who is not trusted, and which setting says whom to trust."""
    model = at(twin, ca_file=None)
    error = await failure(model)
    await model.close()
    assert str(error).startswith(f"SSL_CERT_FILE: the certificate of {twin.base_url} is not")
    assert not error.retryable


async def test_address_where_nobody_listens_may_come_back(twin: TextModelTwin) -> None:
    """It fails at once, not after the SDK's own pauses, and names the setting."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    model = at(twin, base_url=f"https://127.0.0.1:{port}")
    started = time.monotonic()
    error = await failure(model)
    await model.close()
    assert error.retryable
    assert "cannot be reached" in str(error)
    assert str(error).endswith("; look at EVERCALL_TEXT_BASE_URL")
    # The SDK alone sleeps at least a second.
    assert time.monotonic() - started < 0.9


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"api_key": None}, "GOOGLE_API_KEY: is not set"),
        ({"api_key": None, "vertexai": True}, "GOOGLE_CLOUD_PROJECT: is not set"),
        ({"base_url": "http://a.example"}, "EVERCALL_TEXT_BASE_URL: must begin with https://"),
        ({"ca_file": "/nowhere.pem"}, "SSL_CERT_FILE: /nowhere.pem cannot be used"),
    ],
)
async def test_settings_are_checked_before_anything_is_asked(
    twin: TextModelTwin, settings: dict[str, Any], told: str
) -> None:
    """A worker that starts finds out, and so does a request."""
    model = at(twin, **settings)
    with pytest.raises(TextModelFailed) as caught:
        model.check()
    assert str(caught.value).startswith(told)
    assert not caught.value.retryable
    assert str(await failure(model)).startswith(told)
    await model.close()


async def test_time_is_bounded(twin: TextModelTwin) -> None:
    """A server that hangs is given up, and its connection closed."""
    twin.behave("hang")
    settings = TextModelSettings(api_key="test-key", base_url=twin.base_url, ca_file=twin.ca_file)
    model = GeminiTextModel(MODEL, settings, timeout_s=0.4)
    error = await failure(model)
    assert str(error) == f"{MODEL} did not answer in time"
    assert error.retryable
    await twin.until(lambda: twin.asked[0].client_left)
    await model.close()


async def test_request_that_is_cancelled_ends_at_once(
    twin: TextModelTwin, model: GeminiTextModel
) -> None:
    """The connection closes, and the next request is not affected."""
    twin.behave("hang, ok")
    asking = asyncio.create_task(model.generate(PROMPT, schema=SCHEMA))
    await twin.until(lambda: twin.at_once == 1)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await twin.until(lambda: twin.asked[0].client_left)
    assert json.loads((await model.generate(PROMPT, schema=SCHEMA)).text) == SUMMARY


async def test_client_is_made_once_whoever_gives_up(
    twin: TextModelTwin, model: GeminiTextModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request cancelled while the client is being made leaves it to the others."""
    made = 0
    build = model._build_client

    def counted() -> Any:
        nonlocal made
        made += 1
        time.sleep(0.1)
        return build()

    monkeypatch.setattr(model, "_build_client", counted)
    first = asyncio.create_task(model.generate(PROMPT, schema=SCHEMA))
    await asyncio.sleep(0.02)
    second = asyncio.create_task(model.generate(PROMPT, schema=SCHEMA))
    await asyncio.sleep(0.02)
    first.cancel()
    assert json.loads((await second).text) == SUMMARY
    assert made == 1
    assert len(twin.asked) == 1


async def test_failed_start_is_tried_again(
    twin: TextModelTwin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Credentials that appear later are found."""
    model = at(twin, api_key=None, vertexai=True, project="mine", location="here")
    missing = auth_errors.DefaultCredentialsError("none found")  # type: ignore[no-untyped-call]
    calls = iter([missing, None])

    def default(**_: object) -> tuple[Credentials, str]:
        if error := next(calls):
            raise error
        return _token(), "mine"

    monkeypatch.setattr(google.auth, "default", default)
    error = await failure(model)
    assert str(error) == (
        "GOOGLE_APPLICATION_CREDENTIALS: no access token for gemini-3.5-flash-lite: none found"
    )
    assert json.loads((await model.generate(PROMPT, schema=SCHEMA)).text) == SUMMARY
    await model.close()


async def test_vertex_is_asked_by_project_and_location(
    twin: TextModelTwin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With application default credentials, and errors that name the location."""
    monkeypatch.setattr(google.auth, "default", lambda **_: (_token(), "mine"))
    settings: dict[str, Any] = {
        "api_key": None,
        "vertexai": True,
        "project": "mine",
        "location": "global",
    }
    model, unknown = at(twin, **settings), at(twin, "gemini-0", **settings)
    await model.generate(PROMPT, schema=SCHEMA)
    assert twin.asked[0].question.vertex
    assert twin.asked[0].headers["authorization"] == "Bearer test-key"
    error = await failure(unknown)
    assert "'gemini-0' is not to be had in global (HTTP 404" in str(error)
    (refusal,) = twin.refusals
    assert "/projects/mine/locations/global/publishers/google/models/" in refusal[1]
    await model.close()
    await unknown.close()


async def test_first_request_finds_everything_ready(twin: TextModelTwin) -> None:
    """What takes long is done beforehand, where no call waits for it."""
    # In a process of its own: what the SDK has built for other tests stays built.
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        FIRST_REQUEST,
        twin.base_url,
        twin.ca_file,
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    # Measured 6 ms in place of 2 ms: the connection. Without preparation, 50 ms.
    assert float(output) < 7
    # The preparation itself asks nobody.
    assert len(twin.asked) == 6


async def test_preparation_that_fails_says_why(twin: TextModelTwin) -> None:
    """A worker may tell it at once, before any call needs a summary."""
    model = at(twin, ca_file="/nowhere.pem")
    with pytest.raises(TextModelFailed, match=r"^SSL_CERT_FILE: "):
        await model.prepare()
    await model.close()


async def test_closing_leaves_no_connection(twin: TextModelTwin) -> None:
    """Nothing is left open, whether the model was used, being made, or neither."""
    used, unused, starting = at(twin), at(twin), at(twin)
    await used.generate(PROMPT, schema=SCHEMA)
    making = asyncio.create_task(starting.prepare())
    await asyncio.sleep(0)
    for model in (used, unused, starting):
        await model.close()
        assert model._client is None
    await asyncio.gather(making, return_exceptions=True)
    await twin.until(lambda: not _open_connections(twin))


def test_thoughts_cost_but_are_no_answer() -> None:
    """A model that cannot but think is paid for it; its thoughts are not its summary."""
    response = types.GenerateContentResponse(
        candidates=[
            types.Candidate(
                content=types.Content(
                    parts=[types.Part(text="Hm.", thought=True), types.Part(text="{}")]
                ),
                finish_reason=types.FinishReason.STOP,
            )
        ],
        usage_metadata=types.GenerateContentResponseUsageMetadata(
            prompt_token_count=100, candidates_token_count=2, thoughts_token_count=30
        ),
    )
    found = read(response, model=MODEL)
    assert (found.text, found.tokens) == ("{}", 132)


@pytest.mark.parametrize(
    "finish", [types.FinishReason.SAFETY, types.FinishReason.RECITATION, types.FinishReason.SPII]
)
def test_answer_that_breaks_off_is_none(finish: types.FinishReason) -> None:
    """Half a summary would replace a whole one."""
    content = types.Content(parts=[types.Part(text="{}")])
    candidate = types.Candidate(content=content, finish_reason=finish)
    with pytest.raises(TextModelFailed, match=rf"broke off \({finish.value}\)"):
        read(types.GenerateContentResponse(candidates=[candidate]), model=MODEL)


def _token() -> Credentials:
    return Credentials(token="test-key")  # type: ignore[no-untyped-call]


def _open_connections(twin: TextModelTwin) -> object:
    assert twin._server is not None
    return twin._server.server_state.connections

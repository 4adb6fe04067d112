"""The simulated text model answers as the real one does, and logs what it was asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from workers.twin.live_api.server import LiveTwin
from workers.twin.text_model.server import TextModelTwin

MODEL = "gemini-3.5-flash-lite"
SHAPE = {
    "type": "object",
    "properties": {
        "caller": {"type": "string"},
        "facts": {"type": "array", "items": {"type": "string"}},
    },
}
PROMPT = "Caller: My name is Ada. My number is 4711."


@pytest.fixture
async def text() -> AsyncIterator[TextModelTwin]:
    async with TextModelTwin() as twin:
        yield twin


def body(prompt: str = PROMPT, **config: Any) -> dict[str, Any]:
    return {
        "contents": [{"role": "user", "parts": [{"text": prompt}]}],
        "generationConfig": {
            "responseMimeType": "application/json",
            "responseJsonSchema": SHAPE,
            **config,
        },
    }


async def post(
    twin: TextModelTwin,
    content: Any = None,
    *,
    path: str = f"/v1beta/models/{MODEL}:generateContent",
    headers: dict[str, str] | None = None,
    timeout_s: float = 10.0,
) -> httpx.Response:
    async with httpx.AsyncClient(
        verify=twin.client_ssl(), trust_env=False, timeout=timeout_s
    ) as http:
        return await http.post(
            twin.base_url + path,
            json=body() if content is None else content,
            headers={"x-goog-api-key": "test-key"} if headers is None else headers,
        )


async def test_answer_has_the_shape_of_the_real_one(text: TextModelTwin) -> None:
    """One candidate with JSON text, a finish reason and a token count."""
    response = await post(text)
    answer = response.json()
    (candidate,) = answer["candidates"]
    assert candidate["finishReason"] == "STOP"
    assert candidate["content"]["role"] == "model"
    (part,) = candidate["content"]["parts"]
    assert json.loads(part["text"]) == {
        "caller": "Ada",
        "facts": ["My name is Ada.", "My number is 4711."],
    }
    usage = answer["usageMetadata"]
    assert usage["promptTokenCount"] == -(-len(PROMPT) // 4)
    assert usage["candidatesTokenCount"] == -(-len(part["text"]) // 4)
    assert usage["totalTokenCount"] == usage["promptTokenCount"] + usage["candidatesTokenCount"]
    assert answer["modelVersion"] == MODEL


async def test_request_is_logged(text: TextModelTwin) -> None:
    """A test can look at prompt, settings, times and outcome."""
    await post(text, body(temperature=0))
    (asked,) = text.asked
    assert (asked.prompt, asked.question.model, asked.question.vertex) == (PROMPT, MODEL, False)
    assert asked.question.config["temperature"] == 0
    assert asked.answered_at is not None
    assert asked.at <= asked.answered_at
    assert (asked.status, asked.client_left, asked.at_once) == (200, False, 1)
    assert json.loads(asked.text)["caller"] == "Ada"


async def test_snake_case_is_understood(text: TextModelTwin) -> None:
    """Protobuf JSON takes either spelling."""
    question = {
        "contents": [{"parts": [{"text": PROMPT}]}],
        "generation_config": {"response_mime_type": "application/json", "max_output_tokens": "9"},
    }
    assert (await post(text, question)).status_code == 200
    assert text.asked[0].question.max_tokens == 9


@pytest.mark.parametrize(
    ("headers", "status", "told"),
    [
        ({}, 403, "unregistered callers"),
        ({"x-goog-api-key": "another"}, 400, "API key not valid"),
    ],
)
async def test_key_is_looked_at(
    text: TextModelTwin, headers: dict[str, str], status: int, told: str
) -> None:
    """A wrong key is a 400 with ``API_KEY_INVALID``, a missing one a 403."""
    response = await post(text, headers=headers)
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (status, status)
    assert told in error["message"]
    if status == 400:
        assert error["details"][0]["reason"] == "API_KEY_INVALID"
    assert text.asked == []
    assert text.refusals == [(status, f"/v1beta/models/{MODEL}:generateContent")]


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("projects/mine/locations/global/", {"authorization": "Bearer test-key"}),
        ("", {"x-goog-api-key": "test-key"}),
    ],
)
async def test_vertex_paths_are_served(
    text: TextModelTwin, path: str, headers: dict[str, str]
) -> None:
    """With a project it takes a bearer token, in express mode a key."""
    full = f"/v1beta1/{path}publishers/google/models/{MODEL}:generateContent"
    assert (await post(text, path=full, headers=headers)).status_code == 200
    assert text.asked[0].question.vertex
    refused = await post(text, path=full, headers={"authorization": "Bearer other"})
    assert refused.status_code == (401 if path else 403)


@pytest.mark.parametrize("model", ["gemini-0", "gemini-3.8-live"])
async def test_model_that_makes_no_text_is_not_found(text: TextModelTwin, model: str) -> None:
    """As for a name that does not exist."""
    response = await post(text, path=f"/v1beta/models/{model}:generateContent")
    assert response.status_code == 404
    assert response.json()["error"]["status"] == "NOT_FOUND"
    assert f"models/{model} is not found" in response.json()["error"]["message"]


async def test_other_path_is_an_html_page(text: TextModelTwin) -> None:
    """Google's front end knows nothing of JSON where there is no API."""
    response = await post(text, path="/elsewhere")
    assert response.status_code == 404
    assert response.headers["content-type"].startswith("text/html")


@pytest.mark.parametrize(
    ("model", "thinking", "told"),
    [
        ("gemini-2.5-flash", {"thinkingBudget": 0}, None),
        ("gemini-2.5-flash", {"thinkingLevel": "LOW"}, "Thinking level is not supported"),
        ("gemini-2.5-pro", {"thinkingBudget": 0}, "only works in thinking mode"),
        ("gemini-2.5-pro", {"thinkingBudget": 128}, None),
        (MODEL, {"thinkingLevel": "MINIMAL"}, None),
        (MODEL, {"thinkingBudget": 0}, "only works in thinking mode"),
        ("gemini-3.8-flash", {"thinkingLevel": "MINIMAL"}, "MINIMAL is not supported"),
        ("gemini-3.8-flash", {"thinkingLevel": "LOW"}, None),
        ("gemma-4-31b-it", {"thinkingLevel": "LOW"}, "not supported for this model"),
        ("gemma-4-31b-it", {}, None),
    ],
)
async def test_models_differ_in_how_thinking_is_set(
    text: TextModelTwin, model: str, thinking: dict[str, Any], told: str | None
) -> None:
    """What one takes, the next refuses with a 400."""
    response = await post(
        text, body(thinkingConfig=thinking), path=f"/v1beta/models/{model}:generateContent"
    )
    assert response.status_code == (200 if told is None else 400)
    if told is not None:
        assert told in response.json()["error"]["message"]


@pytest.mark.parametrize(
    ("question", "told"),
    [
        ({**body(), "oops": 1}, 'Unknown name "oops"'),
        ({"generationConfig": {}}, "contents is not specified"),
        (body(responseMimeType="text/plain"), "only supported with application/json"),
        (body(temperature=3), "temperature"),
        (body("a\x07b"), "invalid argument"),
    ],
)
async def test_wrong_request_is_refused(
    text: TextModelTwin, question: dict[str, Any], told: str
) -> None:
    """The real server checks every field."""
    response = await post(text, question)
    assert response.status_code == 400
    assert response.json()["error"]["status"] == "INVALID_ARGUMENT"
    assert told in response.json()["error"]["message"]


async def test_answer_is_cut_at_the_bound(text: TextModelTwin) -> None:
    """``maxOutputTokens`` cuts JSON in the middle."""
    (candidate,) = (await post(text, body(maxOutputTokens=5))).json()["candidates"]
    assert candidate["finishReason"] == "MAX_TOKENS"
    assert len(candidate["content"]["parts"][0]["text"]) == 20


async def test_recipe_goes_step_by_step_and_stays_at_the_last(text: TextModelTwin) -> None:
    """Errors have the envelope of their status; the last step counts from then on."""
    text.behave("error(503), error(429), ok")
    found = [await post(text) for _ in range(4)]
    assert [one.status_code for one in found] == [503, 429, 200, 200]
    assert [one.json()["error"]["status"] for one in found[:2]] == [
        "UNAVAILABLE",
        "RESOURCE_EXHAUSTED",
    ]
    assert "retryDelay" in found[1].text
    assert [asked.status for asked in text.asked] == [503, 429, 200, 200]


@pytest.mark.parametrize(
    ("recipe", "finish", "start"),
    [
        ("nonsense", "STOP", "Certainly!"),
        ("wrong_shape", "STOP", '{"verdict"'),
        ("truncated", "MAX_TOKENS", '{"caller"'),
        ("too_long", "STOP", '{"caller"'),
    ],
)
async def test_text_goes_wrong_by_recipe(
    text: TextModelTwin, recipe: str, finish: str, start: str
) -> None:
    """Each kind of nonsense comes in a proper response."""
    text.behave(recipe)
    (candidate,) = (await post(text, body(maxOutputTokens=1000))).json()["candidates"]
    assert candidate["finishReason"] == finish
    said = candidate["content"]["parts"][0]["text"]
    assert said.startswith(start)
    assert (len(said) > 100_000) == (recipe == "too_long")
    if recipe in ("nonsense", "truncated"):
        with pytest.raises(json.JSONDecodeError):
            json.loads(said)


async def test_empty_and_blocked_have_no_text(text: TextModelTwin) -> None:
    """One has a candidate without parts, the other no candidate but a reason."""
    text.behave("empty, blocked")
    empty, blocked = (await post(text)).json(), (await post(text)).json()
    assert empty["candidates"] == [
        {"content": {"role": "model"}, "finishReason": "STOP", "index": 0}
    ]
    assert "candidates" not in blocked
    assert blocked["promptFeedback"] == {"blockReason": "PROHIBITED_CONTENT"}


async def test_slow_takes_its_time_and_requests_at_once_are_counted(text: TextModelTwin) -> None:
    """Two that overlap are seen as two."""
    text.behave("slow(0.2)")
    await asyncio.gather(post(text), post(text))
    assert text.most_at_once == 2
    assert sorted(asked.at_once for asked in text.asked) == [1, 2]
    assert text.at_once == 0
    for asked in text.asked:
        assert asked.answered_at is not None
        assert asked.answered_at - asked.at >= 0.19


async def test_client_that_leaves_is_noticed(text: TextModelTwin) -> None:
    """A request nobody waits for no longer counts as one that is being answered."""
    text.behave("hang")
    with pytest.raises(httpx.ReadTimeout):
        await post(text, timeout_s=0.2)
    await text.until(lambda: text.at_once == 0)
    (asked,) = text.asked
    assert asked.client_left
    assert asked.answered_at is None


async def test_closing_lets_go_of_what_hangs() -> None:
    """The twin ends at once, whoever still waits."""
    async with TextModelTwin("hang") as text:
        waiting = asyncio.create_task(post(text))
        await text.until(lambda: text.at_once == 1)
        closing = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - closing < 2
    await asyncio.gather(waiting, return_exceptions=True)
    assert not text.asked[0].client_left


async def test_certificate_of_the_live_twins_authority() -> None:
    """One file of authorities is enough for both twins."""
    async with LiveTwin() as live, TextModelTwin(authority=live.authority) as text:
        async with httpx.AsyncClient(verify=live.client_ssl(), trust_env=False) as http:
            response = await http.post(
                f"{text.base_url}/v1beta/models/{MODEL}:generateContent",
                json=body(),
                headers={"x-goog-api-key": "test-key"},
            )
        assert response.status_code == 200

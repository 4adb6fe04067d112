"""Sends signed requests to the worker, with Twilio's time-outs, retries and redirects.

Source: twilio.com/docs/usage/webhooks/webhooks-connection-overrides.
"""

from __future__ import annotations

import asyncio
import ssl
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import parse_qs, urlencode, urljoin

import httpx

from workers.twin.twilio_api import signing
from workers.twin.twilio_api.signing import Signing
from workers.twin.twilio_api.twiml_reader import MAX_DOCUMENT_BYTES

MAX_REDIRECTS = 5


@dataclass(frozen=True, slots=True)
class Overrides:
    """Connection overrides from a URL's fragment, within their ranges."""

    connect_s: float = 5.0
    read_s: float = 15.0
    total_s: float = 15.0
    retries: int = 1
    policy: frozenset[str] = field(default_factory=lambda: frozenset({"ct"}))

    @classmethod
    def of(cls, url: str) -> Overrides:
        """Read the fragment of ``url``; keys that are not overrides are ignored."""
        found = {name: values[-1] for name, values in parse_qs(url.partition("#")[2]).items()}

        def within(name: str, low: int, high: int, default: int) -> int:
            written = found.get(name, "")
            return min(high, max(low, int(written))) if written.isdigit() else default

        return cls(
            connect_s=within("ct", 100, 10000, 5000) / 1000,
            read_s=within("rt", 100, 15000, 15000) / 1000,
            total_s=within("tt", 100, 15000, 15000) / 1000,
            retries=within("rc", 0, 5, 1),
            policy=frozenset(found.get("rp", "ct").split(",")),
        )

    def retries_on(self, failure: str) -> bool:
        """Say whether the policy asks for another try after this kind of failure."""
        return "all" in self.policy or failure in self.policy


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; with ``code`` other than zero nothing usable did."""

    url: str
    status: int | None = None
    content_type: str = ""
    body: bytes = b""
    code: int = 0
    detail: str = ""
    failure: str = ""
    attempts: int = 0
    """How many requests it took, redirects not counted."""


class Deliverer:
    """One HTTP client for all webhooks of a twin."""

    def __init__(
        self,
        auth_token: str,
        *,
        tls: ssl.SSLContext | None = None,
        clock: Callable[[], float] = time.monotonic,
        keep_alive: bool = True,
    ) -> None:
        self._auth_token = auth_token
        self._clock = clock
        self._client = httpx.AsyncClient(
            verify=tls if tls is not None else True,
            trust_env=False,
            follow_redirects=False,
            limits=httpx.Limits(
                max_connections=None, max_keepalive_connections=20 if keep_alive else 0
            ),
        )

    async def close(self) -> None:
        """Close the connections that are kept alive."""
        await self._client.aclose()

    async def deliver(
        self, url: str, params: Mapping[str, str], *, method: str, signature: Signing = "good"
    ) -> Answer:
        """Send one webhook, with retries; never raises for what the worker does."""
        overrides = Overrides.of(url)
        # Open point 7 of the Twilio reference: here the token is the same for every attempt.
        token = str(uuid.uuid4())
        until_s = self._clock() + overrides.total_s
        answer = Answer(url, code=11200, detail="no attempt")
        for attempt in range(1, 2 + overrides.retries):
            left_s = until_s - self._clock()
            if left_s <= 0:
                break
            try:
                async with asyncio.timeout(left_s):
                    answer = await self._follow(url, params, method, signature, overrides, token)
            except TimeoutError:
                answer = Answer(url, code=11200, detail="time-out", failure="rt")
            answer = replace(answer, attempts=attempt)
            if not answer.failure or not overrides.retries_on(answer.failure):
                break
        return answer

    async def _follow(
        self,
        url: str,
        params: Mapping[str, str],
        method: str,
        signature: Signing,
        overrides: Overrides,
        token: str,
    ) -> Answer:
        for _ in range(MAX_REDIRECTS + 1):
            answer, location = await self._once(url, params, method, signature, overrides, token)
            if location is None:
                return answer
            url = urljoin(url, location)
            if answer.status not in (307, 308):
                method, params = "GET", {}
        return Answer(url, code=11215, detail="too many redirects")

    async def _once(
        self,
        url: str,
        params: Mapping[str, str],
        method: str,
        signature: Signing,
        overrides: Overrides,
        token: str,
    ) -> tuple[Answer, str | None]:
        url = url.partition("#")[0]
        body = urlencode(params)
        signed: Mapping[str, str] = params
        if method == "GET" and params:
            url, body, signed = f"{url}{'&' if '?' in url else '?'}{body}", "", {}
        headers = {
            "User-Agent": "TwilioProxy/1.1",
            "I-Twilio-Idempotency-Token": token,
            "Accept": "*/*",
            **signing.headers(self._auth_token, url, signed, signature),
        }
        if method != "GET":
            headers["Content-Type"] = "application/x-www-form-urlencoded; charset=UTF-8"
        timeout = httpx.Timeout(overrides.read_s, connect=overrides.connect_s)
        try:
            async with self._client.stream(
                method,
                url,
                content=body.encode() if method != "GET" else None,
                headers=headers,
                timeout=timeout,
            ) as response:
                if response.is_redirect:
                    location = response.headers["location"]
                    return Answer(url, response.status_code), location
                return await self._read(url, response), None
        except httpx.HTTPError as error:
            return _failed(url, error), None
        except httpx.InvalidURL as error:
            return Answer(url, code=11210, detail=str(error)), None

    async def _read(self, url: str, response: httpx.Response) -> Answer:
        body = b""
        async for piece in response.aiter_bytes():
            body += piece
            if len(body) > MAX_DOCUMENT_BYTES:
                return Answer(url, response.status_code, code=11750, detail="too large")
        content_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if response.is_success:
            return Answer(url, response.status_code, content_type, body)
        return Answer(
            url,
            response.status_code,
            content_type,
            body,
            code=11200,
            detail=f"HTTP {response.status_code}",
            failure=f"{response.status_code // 100}xx",
        )


def _failed(url: str, error: httpx.HTTPError) -> Answer:
    text = str(error) or type(error).__name__
    if isinstance(error, httpx.ConnectError):
        code = 11205
        if "certificate" in text.lower() or "ssl" in text.lower():
            code = 11220
        elif "getaddrinfo" in text or "Name or service" in text or "resolution" in text:
            code = 11210
        return Answer(url, code=code, detail=text, failure="ct")
    if isinstance(error, httpx.ConnectTimeout):
        return Answer(url, code=11205, detail=text, failure="ct")
    return Answer(url, code=11200, detail=text, failure="rt")

"""HTTP under the Twilio SDK: time-outs, a base URL, and errors told by our own tree.

The SDK's own transports have no time-out (the asynchronous one ignores the one it is given), no
base URL, log phone numbers at INFO, and lose the code of an error in a list.
"""

from __future__ import annotations

import json
import re
import ssl
from base64 import b64encode
from collections.abc import Mapping, Sequence
from urllib.parse import urlencode, urlsplit

import aiohttp
from twilio.http import AsyncHttpClient
from twilio.http.response import Response

from telephony.errors import CarrierError, carrier_error
from telephony.settings import TwilioSettings

CONNECT_TIMEOUT_S = 5.0
# Which setting an error is about.
_SETTING_BY_CODE = {
    20003: "TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN",
    20005: "TWILIO_ACCOUNT_SID",
    10001: "TWILIO_ACCOUNT_SID",
    21210: "EVERCALL_PHONE_NUMBER",
    21212: "EVERCALL_PHONE_NUMBER",
    21205: "EVERCALL_PUBLIC_URL",
}
# What reading an answer that is not what it should be can raise.
GARBLED = (ValueError, KeyError, TypeError, AttributeError)
_NUMBER = re.compile(r"(?<![0-9A-Za-z])\+?\d{7,15}(?![0-9A-Za-z])")


class Http(AsyncHttpClient):  # type: ignore[misc]  # the SDK has no type information
    """The SDK's port for HTTP, over one aiohttp session."""

    def __init__(self, settings: TwilioSettings) -> None:
        super().__init__(logger=None, is_async=True)
        self._base_url = urlsplit(settings.base_url) if settings.base_url else None
        self._session: aiohttp.ClientSession | None = None
        # Reads the certificates: tens of milliseconds that no call should be held up for.
        self._tls = ssl.create_default_context(cafile=settings.ca_file)
        self._timeout = aiohttp.ClientTimeout(
            total=settings.rest_timeout_s,
            sock_connect=min(CONNECT_TIMEOUT_S, settings.rest_timeout_s),
        )

    # The port's signature; timeout and redirects are our own affair.
    async def request(
        self,
        method: str,
        url: str,
        params: Mapping[str, object] | None = None,
        data: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        auth: Sequence[str] | None = None,
        timeout: float | None = None,
        allow_redirects: bool = False,
    ) -> Response:
        """Make one request.

        Raises:
            CarrierError: Twilio answered with an error.
            aiohttp.ClientError, TimeoutError: it did not answer.
        """
        if self._base_url is not None:
            asked = urlsplit(url)
            path = self._base_url.path + asked.path
            url = asked._replace(
                scheme=self._base_url.scheme, netloc=self._base_url.netloc, path=path
            ).geturl()
        if params:
            url = f"{url}{'&' if '?' in url else '?'}{urlencode(params, doseq=True)}"
        given = dict(headers or {})
        if auth:
            given["Authorization"] = "Basic " + b64encode(":".join(auth).encode()).decode()
        async with self._open().request(
            method,
            url,
            # Repeated fields are repeated; aiohttp refuses lists in forms.
            data=urlencode(data, doseq=True).encode() if data else None,
            headers=given,
            allow_redirects=False,
        ) as answer:
            text = await answer.text(errors="replace")
        if answer.status >= 400:
            # Here, because the SDK loses code and status of a list that is refused.
            raise _carrier_error(answer.status, text)
        return Response(answer.status, text, answer.headers)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=self._timeout, connector=aiohttp.TCPConnector(ssl=self._tls)
            )
        return self._session

    async def close(self) -> None:
        """Let go of the connections."""
        if self._session is not None:
            await self._session.close()


def _carrier_error(status: int, body: str) -> CarrierError:
    """The error that an answer tells, in either of the forms Twilio's services use (RFC 9457)."""
    try:
        told = json.loads(body)
        code = int(told.get("code") or 0)
        text = str(told.get("message") or told.get("detail") or told.get("title") or "")
    except GARBLED:
        code, text = 0, ""
    setting = _SETTING_BY_CODE.get(20003 if status == 401 and not code else code)
    return carrier_error(code, status)(
        f"{setting + ': ' if setting else ''}Twilio error {code or 'without code'} "
        f"(HTTP {status}): {_NUMBER.sub('…', text) or 'no reason given'}",
        code=code,
        status=status,
    )

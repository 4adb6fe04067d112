"""The public address, seen from outside: name, certificate, worker behind it, media socket."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import ipaddress
import socket
import ssl
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidHandshake, InvalidStatus

from telephony.settings import TwilioSettings
from workers.entrypoints.checks.finding import Finding, fail, ok, warn
from workers.entrypoints.checks.trust import trusted

CONNECT_TIMEOUT_S = 8.0
# Let's Encrypt renews with 30 days left; with less than half of that something has stopped.
WARN_DAYS_LEFT = 14
_DAY_S = 86_400.0

_DNS = "make a DNS record for it, or mend EVERCALL_PUBLIC_URL"
_SERVE = "start `evercall serve`, and let the tunnel or proxy lead to its port"
_PROXY = "let the tunnel or proxy pass WebSocket upgrades on to the worker"


async def check_name(public_url: str, *, public: bool = True) -> list[Finding]:
    """The host name has an address, and one that Twilio will ask if ``public``."""
    host, port = _place(public_url)
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            found = await asyncio.get_running_loop().getaddrinfo(
                host, port, type=socket.SOCK_STREAM
            )
    except TimeoutError:
        return [fail(f"no answer about {host}", "look at this host's name server")]
    except socket.gaierror as error:
        return [fail(f"{host} has no address: {error.strerror}", _DNS)]
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    if public and not any(_is_public(address) for address in addresses):
        # twilio.com/docs/api/errors/11205: private addresses are refused.
        text = f"{host} is {', '.join(addresses)}, which is not a public address"
        return [fail(text, "use a tunnel, or a public address; Twilio asks no private ones")]
    return [ok(f"{host} is {', '.join(addresses[:4])}")]


async def check_certificate(
    public_url: str, ca_file: Path | None, *, now: float | None = None
) -> list[Finding]:
    """The certificate is valid, and for how long still."""
    if not public_url.startswith("https://"):
        return [ok("none needed: plain http, on this machine or for a twin")]
    host, port = _place(public_url)
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            tls = await asyncio.to_thread(trusted, ca_file)
            _, writer = await asyncio.open_connection(host, port, ssl=tls, server_hostname=host)
    except TimeoutError:
        return [fail(f"{host}:{port} does not answer in time", _SERVE)]
    except ssl.SSLCertVerificationError as error:
        mend = f"get a certificate for {host} from a public authority; Twilio takes no other"
        return [fail(f"{host}: {error.verify_message}", mend)]
    except socket.gaierror as error:
        return [fail(f"{host} has no address: {error.strerror}", _DNS)]
    except OSError as error:
        return [fail(f"no TLS with {host}:{port}: {_why(error)}", _SERVE)]
    certificate = writer.get_extra_info("peercert")
    writer.close()
    ends_at = ssl.cert_time_to_seconds(certificate["notAfter"])
    days = (ends_at - (time.time() if now is None else now)) / _DAY_S
    text = f"valid for {days:.0f} more days"
    if days < WARN_DAYS_LEFT:
        return [warn(text, "renew it, and look why it was not renewed by itself")]
    return [ok(text)]


async def check_worker(public_url: str, ca_file: Path | None) -> list[Finding]:
    """A worker answers behind the address."""
    url = f"{public_url}/healthz"
    try:
        tls = await asyncio.to_thread(trusted, ca_file)
        async with httpx.AsyncClient(verify=tls, timeout=CONNECT_TIMEOUT_S) as http:
            started = time.monotonic()
            answer = await http.get(url)
    except (httpx.HTTPError, OSError) as error:
        return [fail(f"{url} does not answer: {_why(error)}", _SERVE)]
    if answer.status_code != 200 or answer.text.strip() != "ok":
        text = f"{url} answers HTTP {answer.status_code}, and not as a worker does"
        return [fail(text, _SERVE)]
    return [ok(f"{url} answers after {(time.monotonic() - started) * 1000:.0f} ms")]


async def check_media(settings: TwilioSettings, ca_file: Path | None) -> list[Finding]:
    """The media socket refuses strangers and lets Twilio's signature in.

    The second proves that the worker behind the address has our auth token and our public address.
    The socket is closed at once; the worker counts it as a stream without ``start``.
    """
    url = settings.media_url
    try:
        strange = await _upgrade(url, ca_file, {})
        if strange == 101:
            mend = "let the tunnel or proxy lead to `evercall serve` and nothing else"
            return [fail(f"{url} lets anybody in: this is not our worker", mend)]
        if strange != 403:
            return [fail(f"{url} answers an upgrade with HTTP {strange}, not with 403", _PROXY)]
        signed = await _upgrade(
            url, ca_file, {"X-Twilio-Signature": _signature(settings.auth_token, url)}
        )
    except (InvalidHandshake, OSError, EOFError) as error:
        return [fail(f"{url} does not upgrade: {_why(error)}", _PROXY)]
    if signed != 101:
        text = f"{url} refuses Twilio's signature too, with HTTP {signed}"
        mend = (
            "start `evercall serve` with the same TWILIO_AUTH_TOKEN and EVERCALL_PUBLIC_URL as "
            "here; if they are the same, a proxy refuses the upgrade"
        )
        return [fail(text, mend)]
    return [ok("strangers are refused with 403, Twilio's signature is let in")]


async def _upgrade(url: str, ca_file: Path | None, headers: dict[str, str]) -> int:
    """The HTTP status that an upgrade is answered with."""
    tls = await asyncio.to_thread(trusted, ca_file) if url.startswith("wss://") else None
    try:
        async with connect(
            url,
            ssl=tls,
            additional_headers=headers,
            compression=None,
            ping_interval=None,
            open_timeout=CONNECT_TIMEOUT_S,
            close_timeout=1.0,
        ):
            return 101
    except InvalidStatus as error:
        return error.response.status_code


def _signature(auth_token: str, url: str) -> str:
    """What Twilio signs an upgrade with: the address alone (docs/usage/webhooks-security)."""
    digest = hmac.new(auth_token.encode(), url.encode(), hashlib.sha1).digest()
    return base64.b64encode(digest).decode()


def _place(public_url: str) -> tuple[str, int]:
    parts = urlsplit(public_url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _is_public(address: str) -> bool:
    # Link-local IPv6 addresses come with their interface: fe80::1%eth0.
    return ipaddress.ip_address(address.partition("%")[0]).is_global


def _why(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__

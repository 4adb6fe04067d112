"""Pages of lists, as the REST API cuts them.

Source: Twilio reference, 4.2 (list envelope).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol
from urllib.parse import urlencode

from starlette.requests import Request

DEFAULT_PAGE_SIZE = 50


class Listed(Protocol):
    """Something that is listed."""

    def as_json(self) -> dict[str, Any]:
        """Write it."""


def page_of(request: Request, key: str, found: Sequence[Listed]) -> dict[str, Any]:
    """Cut out one page; the SDK takes the one key it does not know for the records."""
    size = max(1, min(1000, _whole(request, "PageSize", DEFAULT_PAGE_SIZE)))
    page = _whole(request, "Page", 0)

    def uri(number: int) -> str:
        kept = {k: v for k, v in request.query_params.items() if k not in ("Page", "PageSize")}
        return f"{request.url.path}?{urlencode({**kept, 'PageSize': size, 'Page': number})}"

    start = page * size
    records = [one.as_json() for one in found[start : start + size]]
    return {
        key: records,
        "page": page,
        "page_size": size,
        "start": start,
        "end": max(start, start + len(records) - 1),
        "first_page_uri": uri(0),
        "next_page_uri": uri(page + 1) if start + size < len(found) else None,
        "previous_page_uri": uri(page - 1) if page else None,
        "uri": uri(page),
    }


def _whole(request: Request, name: str, default: int) -> int:
    written = request.query_params.get(name, "")
    return int(written) if written.isdigit() else default

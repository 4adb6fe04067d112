"""A load test as JSON: for CI to read, and for a later test to be compared with.

    {"evercall_loadtest": 2, "passed": true, "verdicts": […], "figures": {…}, "result": {…}}

``verdicts`` and ``figures`` follow from ``result`` and are written for readers; only ``result`` is
read again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import orjson

from workers.loadtest.errors import LoadTestError
from workers.loadtest.plain import plain, read_plain
from workers.loadtest.result import LoadResult, Verdict
from workers.loadtest.sums import Sums, figures
from workers.loadtest.verdicts import passed

VERSION: Final = 2
"""Of the format; another one is not read."""

_VERSION_KEY: Final = "evercall_loadtest"


def encode_result(result: LoadResult, sums: Sums, verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """Write a test as plain data."""
    return {
        _VERSION_KEY: VERSION,
        "passed": passed(result, verdicts),
        "verdicts": [
            {
                "promise": verdict.promise.name,
                "limit": verdict.promise.limit,
                "found": verdict.found,
                "kept": verdict.kept,
            }
            for verdict in verdicts
        ],
        "figures": figures(sums),
        "result": plain(result),
    }


def write_result(result: LoadResult, sums: Sums, verdicts: Sequence[Verdict]) -> bytes:
    """Write a test as JSON."""
    return orjson.dumps(encode_result(result, sums, verdicts), option=orjson.OPT_INDENT_2)


def read_result(text: bytes | str, *, name: str) -> LoadResult:
    """Read what ``write_result`` wrote.

    Args:
        text: JSON.
        name: Of the file, for what is said of it.

    Raises:
        LoadTestError: it did not, or in another version; a sentence.
    """
    try:
        data = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise LoadTestError(f"{name} is no JSON: {error}.") from error
    if not isinstance(data, dict) or _VERSION_KEY not in data:
        raise LoadTestError(f"{name} is not the result of a load test.")
    if data[_VERSION_KEY] != VERSION:
        raise LoadTestError(
            f"{name} is a result of version {data[_VERSION_KEY]!r}; this one reads {VERSION}."
        )
    try:
        return read_plain(LoadResult, data.get("result"))
    except ValueError as error:
        raise LoadTestError(f"{name} is damaged: result: {error}.") from error

"""Tools as an operator may write them, good and bad, for the tests beside this file."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field


@dataclass
class Item:
    name: str
    count: int = 1


async def order_status(order_number: str, language: Literal["de", "en"] = "en") -> str:
    """Look up an order."""
    return f"{order_number} in {language}"


async def place_order(
    items: list[Item],
    pick_up: Annotated[datetime.date, Field(description="the day of collection")],
    note: str | None = None,
) -> dict[str, Any]:
    """Place an order."""
    return {"items": [item.name for item in items], "day": pick_up, "note": note}


def not_async(text: str) -> str:
    """Is not async."""
    return text


async def no_docstring(text: str) -> str:
    return text


async def no_type(text) -> str:  # type: ignore[no-untyped-def]  # that is the mistake
    """Has a parameter without type."""
    return str(text)


async def any_type(text: Any) -> str:
    """Has a parameter of any type."""
    return str(text)


async def free_mapping(options: dict[str, str]) -> str:
    """Has a mapping without named fields."""
    return str(options)


async def bare_list(items: list) -> str:  # type: ignore[type-arg]  # that is the mistake
    """Has a list of anything."""
    return str(items)


async def pair(point: tuple[int, str]) -> str:
    """Has a tuple."""
    return str(point)


async def raw_bytes(data: bytes) -> str:
    """Has bytes."""
    return str(data)


async def number_choice(floor: Literal[1, 2]) -> str:
    """Has choices that are no texts."""
    return str(floor)


async def starred(*names: str) -> str:
    """Takes any number of names."""
    return str(names)


async def unknown_name(text: Missing) -> str:  # type: ignore[name-defined]  # noqa: F821  # that is the mistake
    """Has a type that does not exist."""
    return str(text)


class Denoise:
    """Stands for a processor."""

    async def process_frame(self, frame: object, direction: object) -> None:
        """Pipecat calls this."""


class Tuned(Denoise):
    """A processor that nobody can make without knowing how."""

    def __init__(self, strength: int) -> None:
        self.strength = strength


class NoProcessor:
    """A class, but no processor."""

"""The tool of the demo's bakery: plain typed async Python, which knows nothing of evercall."""

from __future__ import annotations

import asyncio

_ORDERS = {
    "7": {"status": "ready", "items": "two loaves of rye bread", "price": "$9.20"},
    "12": {"status": "in the oven", "items": "one apple cake", "price": "$18.00"},
    "48213": {"status": "in the oven", "items": "one birthday cake", "price": "$80.00"},
}


async def order_status(order_number: str) -> dict[str, str]:
    """Look up an order of the bakery by its number.

    Use it as soon as the caller has given the number, spoken or on the keypad. The number is
    digits only.
    """
    # As long as a small shop's database takes.
    await asyncio.sleep(0.1)
    order = _ORDERS.get(order_number.strip().lstrip("0"))
    if order is None:
        raise LookupError(f"there is no order {order_number}")
    return {"order_number": order_number, **order}

"""A call that remembers what was asked of it."""

from __future__ import annotations


class FakeCallControl:
    """Takes digits and opt-outs; ``fail`` makes it refuse."""

    def __init__(self, *, fail: bool = False) -> None:
        self.digits = ""
        self.opted_out = False
        self._fail = fail

    async def send_digits(self, digits: str) -> None:
        if self._fail:
            raise RuntimeError("the line is closed")
        self.digits += digits

    async def opt_out(self) -> None:
        self.opted_out = True

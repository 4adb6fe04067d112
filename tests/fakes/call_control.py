"""A call that remembers what was asked of it."""

from __future__ import annotations


class FakeCallControl:
    """Takes digits and opt-outs; ``fail`` makes it refuse, without ``writes`` opt-outs are late."""

    def __init__(self, *, fail: bool = False, writes: bool = True) -> None:
        self.digits = ""
        self.opted_out = False
        self._fail = fail
        self._writes = writes

    async def send_digits(self, digits: str) -> None:
        if self._fail:
            raise RuntimeError("the line is closed")
        self.digits += digits

    async def opt_out(self) -> bool:
        self.opted_out = True
        return self._writes

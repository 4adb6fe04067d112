"""What each exchange of a conversation adds to its context, so that a cut can be foreseen."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

MAX_EXCHANGES = 512
"""Kept apart; beyond, neighbours are joined. A full window of 131,072 tokens then has pieces of a
few hundred, about as large as one exchange."""


class Ledger:
    """Sizes in tokens, oldest first; a cut removes whole exchanges from the oldest on.

    Args:
        sizes: Those of a conversation that has been already.
    """

    def __init__(self, sizes: Iterable[float] = ()) -> None:
        # Bound: MAX_EXCHANGES, by joining neighbours.
        self._sizes: deque[float] = deque()
        self.total = 0.0
        """What all exchanges have together."""
        for size in sizes:
            self.add(size)

    @property
    def sizes(self) -> tuple[float, ...]:
        """Oldest first."""
        return tuple(self._sizes)

    @property
    def newest(self) -> float:
        """The size of the newest exchange; 0 where there is none."""
        return self._sizes[-1] if self._sizes else 0.0

    def add(self, size: float) -> None:
        """Begin another exchange."""
        if len(self._sizes) >= MAX_EXCHANGES:
            old = list(self._sizes)
            self._sizes = deque(map(sum, zip(old[::2], old[1::2], strict=True)))
        self._sizes.append(size)
        self.total += size

    def grow(self, tokens: float) -> float:
        """Let the newest exchange grow, or shrink where ``tokens`` is negative.

        Returns:
            What could not be taken away: 0, or less where the conversation had less than that.
        """
        if not self._sizes:
            if tokens <= 0:
                return tokens
            self._sizes.append(0.0)
        while tokens < 0 and self._sizes:
            taken = max(tokens, -self._sizes[-1])
            tokens -= taken
            self._sizes[-1] += taken
            self.total += taken
            if tokens == 0:
                return 0.0
            self._sizes.pop()
        if tokens < 0:
            self.total = 0.0
            return tokens
        self._sizes[-1] += tokens
        self.total += tokens
        return 0.0

    def scale(self, tokens: float) -> float:
        """Let the total change by ``tokens``, each exchange in proportion.

        Returns:
            What could not be taken away, as ``grow`` does.
        """
        if self.total <= 0 or tokens < -self.total:
            return self.grow(tokens)
        factor = 1 + tokens / self.total
        self._sizes = deque(size * factor for size in self._sizes)
        self.total += tokens
        return 0.0

    def cut(self, most: float) -> list[float]:
        """Remove the oldest exchanges until ``most`` tokens are left at most, never the newest.

        Returns:
            The sizes of those removed, oldest first.
        """
        cut: list[float] = []
        while len(self._sizes) > 1 and self.total > most:
            cut.append(self._drop())
        return cut

    def cut_near(self, tokens: float) -> None:
        """Remove as many of the oldest exchanges as bring the total nearest to ``tokens``."""
        while len(self._sizes) > 1 and self.total - self._sizes[0] / 2 > tokens:
            self._drop()

    def keep_newest(self) -> None:
        """Remove all but the newest exchange."""
        self.cut(0.0)

    def restore(self, cut: list[float]) -> None:
        """Put back what ``cut`` removed."""
        self._sizes.extendleft(reversed(cut))
        self.total += sum(cut)

    def _drop(self) -> float:
        size = self._sizes.popleft()
        self.total -= size
        return size

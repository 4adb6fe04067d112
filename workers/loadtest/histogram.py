"""Delays of many calls, however many, in one size: what machines that share a test can add up.

A typed face of HdrHistogram: steps of 0.1 ms up to 200 ms, of a thousandth of the value above, up
to ten minutes.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import Final, cast

from hdrh.codec import HdrCookieException, HdrLengthException
from hdrh.histogram import HdrHistogram

MOST_MS: Final = 600_000.0
"""What is longer is counted as this."""

_STEPS_PER_MS = 10
_DIGITS = 3
# What the library raises for a text that none of its kind has written.
_UNREADABLE = (
    HdrCookieException,
    HdrLengthException,
    zlib.error,
    ValueError,
    IndexError,
    RuntimeError,
)


class Histogram:
    """How often which delay was found."""

    __slots__ = ("_counts",)
    __hash__ = None  # type: ignore[assignment]  # It changes.

    def __init__(self, values_ms: Iterable[float] = ()) -> None:
        self._counts = HdrHistogram(1, int(MOST_MS * _STEPS_PER_MS), _DIGITS)
        for ms in values_ms:
            self.add(ms)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Histogram):
            return NotImplemented
        return self.encode() == other.encode()

    def __repr__(self) -> str:
        return f"Histogram(count={self.count}, max_ms={self.max_ms})"

    @property
    def count(self) -> int:
        """How many values there are."""
        return cast(int, self._counts.get_total_count())

    @property
    def max_ms(self) -> float | None:
        """The greatest value; None: there is none."""
        return self.percentile(100.0)

    def add(self, ms: float) -> None:
        """Count a delay; one below nothing, which the precision of measuring makes, as nothing."""
        self._counts.record_value(round(min(max(ms, 0.0), MOST_MS) * _STEPS_PER_MS))

    def merge(self, other: Histogram) -> None:
        """Count all that the other one has counted."""
        # The library takes the smallest value of an empty one for 0, and asks for it at every sum.
        if other.count:
            self._counts.add(other._counts)

    def percentile(self, percent: float) -> float | None:
        """Return the value in ms that so many per cent of all do not exceed; None without any.

        It is the upper end of the value's step: up to a thousandth more than it was, never less.
        """
        if not self.count:
            return None
        return cast(int, self._counts.get_value_at_percentile(percent)) / _STEPS_PER_MS

    def encode(self) -> str:
        """Write it as a line of base64, in the format of HdrHistogram V2."""
        return cast(bytes, self._counts.encode()).decode("ascii")

    @classmethod
    def decode(cls, text: str) -> Histogram:
        """Read what ``encode`` wrote.

        Raises:
            ValueError: nobody wrote that, or with other steps.
        """
        found = cls()
        try:
            read = HdrHistogram.decode(text.encode("ascii"))
        except _UNREADABLE as error:
            raise ValueError("is no histogram") from error
        ours = found._counts
        if (read.unit_magnitude, read.sub_bucket_count, read.bucket_count) != (
            ours.unit_magnitude,
            ours.sub_bucket_count,
            ours.bucket_count,
        ):
            raise ValueError("is a histogram of other steps")
        if read.get_total_count():
            ours.add(read)
        return found

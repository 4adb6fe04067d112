"""Bytes of unknown encoding as text, in pieces."""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Iterator
from typing import BinaryIO

from charset_normalizer import from_bytes

HEAD = 64 * 1024
"""Bytes from which encoding and delimiter are found out."""

_CHUNK = 256 * 1024
# Order of UTF-32 and UTF-16 matters: FF FE begins both.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_WESTERN = frozenset("äöüßÄÖÜéèêëÉÈÊàâáãåÀÂÁÅçÇîïíìÍôóòõøÓØûùúÚñÑæÆœ€–—‘’“”„…°§«»´·º")
# What charset-normalizer may choose from: left alone, it takes Russian in KOI8-R for Korean
# (observed 2026-11, 3.5).
_LEGACY = [
    *("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258"),
    *("iso8859_2", "iso8859_5", "iso8859_7", "iso8859_15", "koi8_r", "cp932", "euc_jp"),
    *("gb18030", "big5", "cp949", "cp874", "cp437", "cp850", "mac_roman"),
]


def find_encoding(head: bytes) -> str:
    """A file's encoding by its first bytes.

    A mark says it. UTF-16 without one shows by its zeros; UTF-8 by being right, or more often
    right than wrong: a few damaged rows do not make it another one. Western Europe's cp1252 comes
    before what charset-normalizer thinks, which takes French for Czech (observed 2026-11, 3.5).
    """
    for mark, name in _MARKS:
        if head.startswith(mark):
            return name
    pairs = len(head) // 2
    odd, even = head[1::2].count(0), head[0::2].count(0)
    if pairs and max(odd, even) > pairs * 0.4 and min(odd, even) < pairs * 0.1:
        return "utf-16-le" if odd > even else "utf-16-be"
    text = codecs.getincrementaldecoder("utf-8")("replace").decode(head)
    wrong = text.count("\ufffd")
    if not wrong or sum(char > "\x7f" for char in text) > 2 * wrong:
        return "utf-8"
    # ASCII lines say nothing, and a character may be cut at the end.
    lines = head[: head.rfind(b"\n") + 1 or None].split(b"\n")
    sample = b"\n".join(line for line in lines if not line.isascii())
    western = sample.decode("cp1252", "replace")
    foreign = re.findall(r"[^\x00-\x7f]+", western)
    # Cyrillic and Greek look like accents, too, but whole words of them.
    joined = sum(len(run) > 1 for run in foreign)
    if joined <= len(foreign) // 20 and all(map(_WESTERN.issuperset, foreign)):
        return "cp1252"
    best = from_bytes(sample, cp_isolation=_LEGACY).best()
    return best.encoding if best else "cp1252"


def read_head(file: BinaryIO) -> bytes:
    """The first ``HEAD`` bytes; fewer: the file has no more."""
    # A pipe may give less than is asked for.
    head = b""
    while len(head) < HEAD and (piece := file.read(HEAD - len(head))):
        head += piece
    return head


def _decoder(encoding: str) -> io.IncrementalNewlineDecoder:
    # "replace": whoever uses U+FFFD himself has lost those bytes before.
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    return io.IncrementalNewlineDecoder(decoder, translate=True)


def text_of_head(head: bytes, encoding: str) -> str:
    """The first bytes as text, line ends as one line feed each, without a mark.

    Raises:
        UnicodeError: the encoding needs a mark and there is none.
    """
    return _decoder(encoding).decode(head).removeprefix("\ufeff")


def texts(file: BinaryIO, head: bytes, encoding: str) -> Iterator[str]:
    """A file as text, in pieces; what the encoding does not know is U+FFFD.

    Args:
        file: stands behind its head.
        head: its first bytes.
        encoding: that Python knows.

    Raises:
        UnicodeError: as ``text_of_head``.
    """
    decoder = _decoder(encoding)
    yield decoder.decode(head).removeprefix("\ufeff")
    while piece := file.read(_CHUNK):
        yield decoder.decode(piece)
    yield decoder.decode(b"", final=True)

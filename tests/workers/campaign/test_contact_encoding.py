"""Encodings that nobody names."""

import io

import pytest

from workers.campaign.contact_encoding import HEAD, find_encoding, texts


@pytest.mark.parametrize(
    ("text", "encoding", "found"),
    [
        ("Müller;Köln", "utf-8", "utf-8"),
        ("Müller;Köln", "utf-8-sig", "utf-8"),
        ("Müller;Köln", "utf-16", "utf-16"),
        ("Müller;Köln", "utf-16-le", "utf-16-le"),
        ("Müller;Köln", "utf-16-be", "utf-16-be"),
        ("Müller;Köln", "utf-32", "utf-32"),
        ("Müller;Köln €", "cp1252", "cp1252"),
        ("François Lefèvre;Orléans", "latin-1", "cp1252"),
        ("Иван Петров;Москва", "cp1251", "cp1251"),
        ("Γιώργος Παπαδόπουλος;Αθήνα", "cp1253", "cp1253"),
        ("山田太郎;東京", "shift_jis", "cp932"),
        ("plain;ascii", "ascii", "utf-8"),
    ],
)
@pytest.mark.parametrize("rows", [50, 5000])
def test_the_encoding_is_found_out(text: str, encoding: str, found: str, rows: int) -> None:
    """By mark, zeros, right UTF-8, accents, or charset-normalizer; cut characters do no harm."""
    lines = "".join(f"+4930{n:07};{text}\n" for n in range(rows))
    head = ("number;name;note\n" + lines).encode(encoding)[:HEAD]
    assert find_encoding(head) == found
    read = "".join(texts(io.BytesIO(), head, found)).split("\n")
    assert read[0] == "number;name;note"
    assert read[4] == f"+49300000003;{text}"

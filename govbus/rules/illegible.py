"""Texts that nobody can read any more: placeholders of characters that were lost, and code pages mixed up."""

from __future__ import annotations

import re
import unicodedata

LOST = "\ufffd"
"""What every placeholder of a lost character becomes: U+FFFD, made for that."""

# A full-width asterisk stands for a character that an input method lacked; the half-width one is a mask's.
_PLACEHOLDERS = re.compile("[?？□■▢◻＊�\ue000-\uf8ff\U000f0000-\U0010fffd]|锟斤拷?|烫烫")
_HAN = re.compile("[\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003347f]")
_CHINESE = re.compile(f"(?:{_HAN.pattern}|[·（）()A-Z0-9-])+").fullmatch
_LATIN_1 = re.compile("[\u0080-\u00ff]{2}")


def with_losses_marked(text: str) -> str:
    """Return *text* with one `LOST` for each placeholder: ``?``, ``□``, ``＊``, private use characters, 锟斤拷."""
    return _PLACEHOLDERS.sub(LOST, text)


def is_garbled(text: str) -> bool:
    """Return whether *text* reads as Chinese once a mix-up of code pages is undone, and so is surely not what it says.

    UTF-8 read as GBK, and UTF-8 or GBK read as Latin-1. A Chinese text of three characters is taken for garbled by
    chance less than once in a thousand times, and only where the bytes of its characters happen to be UTF-8 as well.
    """
    if _HAN.search(text):
        return _undone(text, "gbk", "utf-8")
    if _LATIN_1.search(text):
        return _undone(text, "cp1252", "utf-8") or _undone(text, "latin-1", "utf-8") or _undone(text, "latin-1", "gbk")
    return False


def _undone(text: str, read_as: str, written_as: str) -> bool:
    try:
        original = text.encode(read_as).decode(written_as)
    except UnicodeError:
        return False
    return has_han(original) and _CHINESE(unicodedata.normalize("NFC", original)) is not None


def has_han(text: str) -> bool:
    """Return whether *text* contains a Chinese character."""
    return _HAN.search(text) is not None

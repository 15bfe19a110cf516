"""Texts as the service measures and writes them. Python's `$`, `\\d` and `len` mean other things than its."""

from __future__ import annotations

import json
import unicodedata

LONGEST_QUOTE = 80


def utf16_length(text: str) -> int:
    return len(text) + sum(1 for character in text if ord(character) > 0xFFFF)


def is_well_formed(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def has_control_characters(text: str) -> bool:
    return any(unicodedata.category(character) == "Cc" for character in text)


def quote(text: str) -> str:
    """For an error message: as JSON, cut when it is long."""
    shown = text if len(text) <= LONGEST_QUOTE else f"{text[:LONGEST_QUOTE]}…"
    return json.dumps(shown, ensure_ascii=not is_well_formed(shown))


def kind_of(value: object) -> str:
    """What a value is in JSON, with its article."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, (int, float)):
        return "a number"
    if isinstance(value, str):
        return "a string"
    if isinstance(value, dict):
        return "an object"
    return "an array" if isinstance(value, (list, tuple)) else type(value).__name__

"""Approximate transliteration, by the names that Unicode gives to characters."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import cache

QUALIFIERS = {"FINAL", "FARSI", "SMALL", "CAPITAL", "SARA"}
"""Words in the name of a letter before what it is called."""


def transliterate(text: str, is_known: Callable[[str], bool]) -> str:
    """Replaces the characters that a font lacks.

    Letters become their sound, as their Unicode name begins: SEEN is "s"; syllables and letters with an
    inherent vowel the whole name. A vowel sign replaces that vowel. Symbols become their name, and characters
    that Unicode does not name their number; what is invisible is dropped.

    Args:
        text: In any script.
        is_known: Whether the font has a character.
    """
    result = ""
    inherent_vowel = False  # at the end of the result
    for character in text:
        script, *words = re.split("[ -]", unicodedata.name(character, ""))
        kind = unicodedata.category(character)[0]
        plain = "".join(c for c in unicodedata.normalize("NFKD", character) if not unicodedata.combining(c))
        if is_known(character):
            sound = character
        elif kind == "M":
            sound = words[-1].lower() if {"VOWEL", "SARA"} & set(words) else ""
            if inherent_vowel and (sound or words[-1:] == ["VIRAMA"]):
                result = result[:-1]
        elif plain and all(map(is_known, plain)):
            sound = plain
        elif kind == "N":
            sound = str(unicodedata.decimal(character, ""))
        elif kind == "L":
            sound = _sound(script, words)
        elif unicodedata.category(character) in ("Cn", "Co"):
            sound = f" U+{ord(character):04X} "
        elif kind in "SP":
            sound = f" {' '.join([script, *words]).lower()} "
        else:
            sound = ""
        inherent_vowel = kind == "L" and _has_inherent_vowels(script) and sound.endswith("a")
        result += sound
    return " ".join(result.split())


def _sound(script: str, words: list[str]) -> str:
    called = [word for word in words if word not in QUALIFIERS]
    if "SYLLABLE" in words or _has_inherent_vowels(script):
        return called[-1].lower() if called else ""
    letter = next((word for word in called if word not in ("LETTER", "CHARACTER")), "")
    onset = re.match(r"[^AEIOU]+|[AEIOU]+", letter)
    return onset.group().lower() if onset else ""


@cache
def _has_inherent_vowels(script: str) -> bool:
    try:
        unicodedata.lookup(f"{script} SIGN VIRAMA")
    except KeyError:
        return False
    return True

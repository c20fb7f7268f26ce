"""The characters that the recogniser can write, and the similar character of each."""

import unicodedata

# The alphabet of pen 0.2. Characters are only ever appended, so the ids in older weights stay valid.
_PEN_0_2 = "".join(chr(c) for c in range(32, 127)) + "£€°éèêàçüöäñ’“”–—…"
_CAPITALS = "ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØÙÚÛÜŒ"
_SMALL = "ßáâãåæëìíîïòóôõøùúûÿœ"
_MARKS = "¿¡«»§ªº"
_NOTES = "•☐☑→←✓×÷½¼¾²"

ALPHABET = _PEN_0_2 + _CAPITALS + _SMALL + _MARKS + _NOTES
# Sizes of the earlier alphabets, which are the beginning of this one, so that their weights can be trained further.
EARLIER = (len(_PEN_0_2),)

_RESEMBLES = {
    "Æ": "A", "Ø": "O", "Œ": "O", "ß": "B", "æ": "a", "ø": "o", "œ": "o", "¿": "?", "¡": "!", "«": "“", "»": "”",
    "§": "S", "ª": "a", "º": "o", "•": ".", "×": "x", "÷": "-", "½": "1", "¼": "1", "¾": "3", "²": "2",
}  # fmt: skip


def base_of(character: str) -> str | None:
    """The character that `character` resembles most, such as a letter without its accent; None if there is none."""
    plain = unicodedata.normalize("NFD", character)[0]
    return plain if plain != character else _RESEMBLES.get(character)

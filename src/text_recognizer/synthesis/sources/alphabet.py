"""The characters that the recogniser can write."""

ALPHABET = "".join(chr(c) for c in range(32, 127)) + "£€°éèêàçüöäñ’“”–—…"

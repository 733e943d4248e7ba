"""Texts from outside, such as file names, made printable in one line and storable as UTF-8."""


def in_a_line(text: str) -> str:
    r"""The text with escapes such as `\n` or `\xe9` for all that would not be seen in one line.

    A file's name is bytes: those of it that are no UTF-8 are escapes, too.
    """
    return text if text.isprintable() else "".join(c if c.isprintable() else _escape(c) for c in text)


def encodable(text: str) -> str:
    """The text with escapes for halves of surrogate pairs, which UTF-8 does not have."""
    halves = (c if not "\ud800" <= c <= "\udfff" else _escape(c) for c in text)
    return text if text.isprintable() else "".join(halves)


def _escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # how Python has a byte of a file's name that is no UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()

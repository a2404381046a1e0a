"""Text from the peer that people will read: it must not control a terminal, or look like a separate line."""


def printable(text: str) -> str:
    r"""The text with every control character, line end and invisible mark escaped, such as `\x1b` and `\n`.

    Unicode counts more than control characters as not printable, for example the marks that reverse
    the direction of writing.
    """
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else _written_out(letter) for letter in text)


def _written_out(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")

"""Text from the other end that people will read: nothing in it may command a terminal, or look like another line."""


def printable(text: str) -> str:
    r"""The text with every control character, line end and invisible mark written out, such as `\x1b` and `\n`.

    What Unicode calls not printable is more than control characters: marks that turn the direction of
    writing around are among it.
    """
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else _written_out(letter) for letter in text)


def _written_out(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")

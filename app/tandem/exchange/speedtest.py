"""What a speed test is on a stream: zeros one way ("down"), or zeros the other way and their count ("up")."""

DIRECTIONS = ("down", "up")

CHUNK = bytes(64 << 10)
"""What is written at once."""

COUNT_SIZE = 8
"""Bytes of a count, which the server sends ten times a second."""

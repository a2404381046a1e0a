"""What a speed test is on a stream: zeros one way ("down"), or zeros the other way and their count ("up")."""

DIRECTIONS = ("down", "up")

CHUNK = bytes(64 << 10)
"""The zeros of one write."""

COUNT_SIZE = 8
"""The size in bytes of a count, which the server sends ten times a second."""

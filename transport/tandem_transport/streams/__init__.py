"""Ordered bytes: both halves of a stream, the table of all, their credit and memory.

No path and no packet is known here.
"""

"""What is on the wire: numbers, ranges, frames, packet headers and transport parameters, encoded and decoded.

Nothing here remembers anything.
"""

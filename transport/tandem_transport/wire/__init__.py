"""The wire format: numbers, ranges, frames, packet headers and transport parameters, encoded and decoded.

This package keeps no protocol state.
"""

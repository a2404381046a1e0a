"""Streams of ordered bytes: both halves of a stream, the table of all streams, their credit and memory.

This package knows no paths and no packets.
"""

"""Packets in flight: chunks, sent packets, acknowledgements, losses, round-trip times.

This package does not decide how fast to send.
"""

"""TCP connections of this machine: listening, reading with back-pressure, bytes both ways.

No protocol is known here.
"""

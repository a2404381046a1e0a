"""TCP connections of this machine: listening, reading with backpressure, and relaying in both directions.

The package knows no application protocol.
"""

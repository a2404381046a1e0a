"""What clients of the port say: SOCKS 5, SOCKS 4 and HTTP, parsed and answered without I/O.

Whom they are connected to is not decided here.
"""

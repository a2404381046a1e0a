"""The dialects of the port's clients: SOCKS 5, SOCKS 4 and HTTP, parsed and answered without I/O.

The modules do not decide what a client is connected to.
"""

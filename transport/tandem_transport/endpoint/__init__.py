"""How sessions begin, and the table of a server's sessions: handshakes, cookies, limits on strangers; a class per end.

Everything here is sans-I/O: no socket and no clock.
"""

"""A session as a whole: `Connection`, what each received frame does, keep-alives, closing.

Nothing here knows about handshakes or other sessions.
"""

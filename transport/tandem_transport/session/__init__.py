"""A session as a whole: `Connection`, what each received frame does, keep-alives, the end.

Neither handshakes nor other sessions are known here.
"""

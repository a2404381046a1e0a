"""A session as a whole: `Connection`, what each received frame does, keep-alives, closing.

It begins with what a handshake has established, and knows no other session.
"""

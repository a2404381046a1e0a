"""Many sessions and their beginning: handshakes, cookies, limits of strangers, one class for each end.

Still no socket and no clock.
"""

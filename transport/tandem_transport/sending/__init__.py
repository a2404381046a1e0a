"""What is sent next, and on which paths: the queues, the schedulers, copies, and the packets that are built.

How fast a path may send, and what a stream sends next, is decided elsewhere.
"""

"""What is sent next, and on which paths: the queues, the schedulers, copies, and the packets that are built."""

"""What leaves next, and on which paths: the queues, the schedulers, copies, and the packets made of them."""

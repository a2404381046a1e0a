"""A server of several processes: the parent owns the sockets, the workers serve. What a worker serves is elsewhere."""

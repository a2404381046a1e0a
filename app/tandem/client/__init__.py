"""The client: links, the SOCKS port's far side, failover, caps, drills, events; it does not know the server's code."""

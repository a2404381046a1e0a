"""What a terminal shows of a status, live or once; everything that it knows is in the status JSON."""

"""A running process: signals, draining, messages to systemd, its runtime directory; what runs is passed in."""

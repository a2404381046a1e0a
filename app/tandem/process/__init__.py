"""A running process: signals, draining, what systemd is told, its runtime directory; what runs is handed in."""

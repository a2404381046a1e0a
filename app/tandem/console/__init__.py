"""Shows a status on a terminal, live or once. All that it shows comes from the status JSON."""

"""Shows a status on a terminal, live or once. It draws the status JSON, and below it the last lines of the log."""

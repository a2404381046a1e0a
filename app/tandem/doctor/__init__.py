"""`tandem doctor`: checks everything between this machine and the server, and says what to do; it changes nothing."""

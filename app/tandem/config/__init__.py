"""What people write, and the messages about their mistakes: the configuration, patterns, invites, passwords.

Nothing is started here, and importing it imports no more than it takes to read a file.
"""

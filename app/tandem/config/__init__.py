"""What people write, and what they are told of it: the configuration, patterns, invites, passwords.

Nothing is started here, and loading it loads no more than it takes to read a file.
"""

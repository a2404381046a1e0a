"""The command line: one file per family of commands.

What a command does is in the other rooms; only `connect` and `demo` are whole here.
"""

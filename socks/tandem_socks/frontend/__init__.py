"""The whole port: accepts clients, reads their requests in any dialect, asks the far side, and relays bytes.

It does not know what the far side is.
"""

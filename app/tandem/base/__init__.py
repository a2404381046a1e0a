"""What every other room may use: errors with hints, units, addresses, logs, this user's files.

It knows nothing of Tandem's parts.
"""

"""What every other room may use: errors with a way out, units, addresses, logs, files of this user.

It knows nothing of Tandem's parts.
"""

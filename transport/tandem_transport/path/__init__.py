"""The paths of a session, each between two addresses: reachability, packet size, counters, and status for people.

What a path carries is chosen elsewhere.
"""

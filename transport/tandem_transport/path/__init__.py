"""One way between two addresses, and the table of all: reachability, packet size, counters, and what people are told.

What it carries is chosen elsewhere.
"""

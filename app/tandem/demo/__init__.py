"""The demonstration: both ends and two bad links in one process, a web site, and what plain TCP makes of such links.

Nothing here is part of a client or a server that somebody uses.
"""

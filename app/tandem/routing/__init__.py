"""What goes where at the client: through the session, from this machine, over one of its links, or nowhere.

The routes decide by what is asked for and by whom. This package does not know sessions: it is given their far side.
"""

"""The model of a bad link, and links of this machine that behave like it, for `demo` and `drill`.

Nothing else makes a link worse.
"""

"""HTTP for the admin endpoint and its page: a small server, the page's files, logins.

What is answered, and what the figures mean, is decided elsewhere.
"""

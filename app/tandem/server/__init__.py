"""The server: which clients may connect, what they may reach, and what it opens for them. Imports no client code."""

"""The server: who may come, whom they may reach, and what is opened for them; it does not know the client's code."""

"""Who a server's clients are, what they may use and what they have used: a database, or an HTTP service that is asked.
Its functions block, so a server calls them in threads; it knows neither sessions nor the admin endpoint."""

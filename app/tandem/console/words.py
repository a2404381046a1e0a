"""What the words of the console mean."""

from rich.table import Table

_WORDS = {
    "RTT, min, p95": "round trip now, the lowest, and what 95 of 100 stay below, in milliseconds",
    "queue": "milliseconds that our packets wait in the link's own queue",
    "loss↑ loss↓": "packets lost on the way to the server, and from it, in the last ten seconds",
    "won": "share of the data that this link delivered first",
    "degraded": "works, but loses much, or answers late; used less",
    "copies": "data sent a second time over another link, on purpose",
    "rescued": "losses that nobody waited for, because a copy had been sent before",
    "adaptive": "downloads use both links, key presses and requests go over both at once",
    "duplicate": "everything goes over every link: twice the data, and nothing waits",
    "metered": "a link that carries only what is small and urgent while another works",
    "outage": "no link works; connections are held, and go on when one comes back",
}


def explained() -> Table:
    """All words, one a row."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=False)
    table.add_column(no_wrap=True, style="bold")
    table.add_column()
    for word, meaning in _WORDS.items():
        table.add_row(word, meaning)
    return table

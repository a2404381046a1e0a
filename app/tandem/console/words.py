"""What the words of the console mean."""

from rich.table import Table

_WORDS = {
    "RTT, min, p95": "round trip now, lowest, what 95 of 100 stay below, in ms",
    "queue": "ms that our packets wait in the link's own queue",
    "loss↑ loss↓": "lost to and from the server in the last ten seconds",
    "server's count": "loss that the server saw in what arrived; beside it, the client's",
    "won": "share of the data that this link delivered first",
    "usable, down": "works; no answer comes. probing: has not answered yet",
    "degraded": "works, but loses much, answers late, or works one way only",
    "copies": "sent a second time: at once over another link, or as lost",
    "rescued": "losses that nobody waited for: a copy had been sent before",
    "adaptive": "downloads use all links; what is urgent goes over each",
    "duplicate": "all goes over every link: twice the data, and nothing waits",
    "metered": "carries only what is small and urgent while another works",
    "drill": "a link made bad on purpose, for a while",
    "outage": "no link works; connections are held, and go on afterwards",
}
"""Each fits into one row of a window of 80 columns."""


def explained() -> Table:
    """All words, one a row."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=False)
    table.add_column(no_wrap=True, style="bold")
    table.add_column()
    for word, meaning in _WORDS.items():
        table.add_row(word, meaning)
    return table

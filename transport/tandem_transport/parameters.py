"""The numbers that both ends agree on, or that several files need, each with its unit, its reason and its source.

Two groups: what both ends must agree on (the specification, PROTOCOL.md), and what one
implementation may choose. Times are seconds, sizes are bytes, rates are bytes per second.
"""

# --- Specification constants ---------------------------------------------------------------

PROLOGUE = b"tandem/1"
"""Noise prologue: protocol name and version. Another version fails to decrypt."""

CONNECTION_ID_SIZE = 16
"""8 random bytes and an 8-byte MAC by the server's static key (PROTOCOL.md 2.1)."""

TAG_SIZE = 16
"""Both AEADs have 16-byte tags (RFC 8439, RFC 5116)."""

MAX_PACKETS_PER_DATAGRAM = 64
"""Packets that a receiver looks at in one datagram; UDP_GRO merges at most 64."""

MAX_PATHS = 32
"""Path ids of one session, which are never reused."""

MAX_VARINT = (1 << 62) - 1
"""Largest value of a variable-length integer (RFC 9000 section 16)."""

MAX_PACKET_NUMBER = (1 << 48) - 1
"""Packet numbers are sent whole, in 48 bits; at a million packets a second they last nine years."""

RESET_TOKEN_SIZE = 16
"""Bytes of a stateless reset token (RFC 9000 section 10.3)."""

# --- Implementation constants --------------------------------------------------------------

BASE_DATAGRAM_SIZE = 1200
"""UDP payload that every path is assumed to carry (RFC 9000 section 14)."""

DATAGRAM_SIZES = (1472, 1452, 1432, 1392, 1352, 1312, 1252)
"""UDP payloads that a path is probed for: Ethernet with IPv4, with IPv6, with a tunnel or two in between, LTE."""

SMALL_DATAGRAM_SIZES = (1052, 972, 872, 772, 660, 548)
"""The same where a path takes less than BASE_DATAGRAM_SIZE; every host takes 576 bytes of IP (RFC 1122)."""

MIN_DATAGRAM_SIZE = SMALL_DATAGRAM_SIZES[-1]
"""UDP payload below which nothing is tried."""

MTU_PROBES = 3
"""Probes of one size that are lost before it is ruled out (RFC 8899 section 5.1.2)."""

MTU_RETRY = 600.0
"""Seconds after which a search for larger packets begins anew (RFC 8899 section 5.1.1)."""

MTU_SOON = 30.0
"""The same after a path has become narrower; each further search comes after twice as long, up to MTU_RETRY."""

SUSPICIOUS_LOSSES = 2
"""Large packets unanswered, with none as large acknowledged since, for which a path's size is checked ..."""

BLACK_HOLE_LOSSES = 6
"""... and lost, with smaller ones acknowledged, for which the path has become narrower."""

CHECK_RUNGS = (1252, 1200, 972, 772, 548)
"""Sizes below the present one that a check tries all at once; the search finds those in between."""

CHECK_BACKOFF = (5.0, 60.0)
"""Seconds after a check in vain for which only BLACK_HOLE_LOSSES are worth another one: at first, and at most."""

CHECK_EXTRAS = 16
"""Small packets with what somebody waits for that may leave during a check although the window is full."""

GRANULARITY = 0.001
"""Timers below 1 ms fire at once in an event loop: the least that is worth waiting for."""

INITIAL_PTO = 0.3
"""Probe timeout of a path before its first RTT sample."""

MAX_RTT = 10.0
"""Longest round trip that counts: an acknowledgement that a machine slept over says nothing of the path."""

PACKET_THRESHOLD = 3
"""Packets acknowledged after it that make a packet lost (RFC 9002 section 6.1.1)."""

TIME_THRESHOLD = 1.125
"""RTTs after which a packet older than an acknowledged one is lost (RFC 9002 section 6.1.2)."""

MAX_PACKET_THRESHOLD = 1024
"""How far a path that reorders may raise the packet threshold."""

REORDERING_MEMORY = 60.0
"""Seconds after the last spurious loss for which the packet threshold stays raised."""

MAX_REMEMBERED_LOSSES = 256
"""Lost packets of a path that are watched for, should they arrive after all."""

TIME_THRESHOLD_SLACK = 0.002
"""Added to the time threshold: one late turn of an event loop is not a loss."""

MIN_PTO_VARIANCE = 0.010
"""Least allowance for RTT variation in the probe timeout; RFC 9002 has 1 ms, Wi-Fi needs more."""

PTO_BACKOFF_CAP = 0.25
"""Longest backed-off probe timeout at first: a link that returns is used again at once."""

PTO_BACKOFF_AGES = (20.0, 60.0)
"""Ages of a silence after which probes become rarer, and rarer still."""

PTO_RARE = 1.0
"""Probe interval between the two ages of PTO_BACKOFF_AGES."""

PTO_RAREST = 2.0
"""Probe interval of a long silence while a stream is open; a returning link is used within 3 s."""

PTO_IDLE = 15.0
"""Probe interval of a long silence when no stream is open."""

KEEPALIVE_ACTIVE = 1.0
"""A path that sent nothing for this long sends a PING while a stream is open and active."""

KEEPALIVE_IDLE = 15.0
"""The same when nothing goes on: below every NAT's time-out, under 2 MB a day and path."""

ACTIVE_PERIOD = 10.0
"""A session counts as active for this long after stream data was sent or received."""

MAX_ACK_DELAY = 0.005
"""Longest time that an acknowledgement waits for company."""

ACK_EVERY = 10
"""Ack-eliciting packets after which an acknowledgement is sent at once."""

MAX_ACK_RANGES = 32
"""Ranges in one ACK frame; older ones were sent before, in frames that were acknowledged or not."""

MAX_TRACKED_RANGES = 1024
"""Ranges of received packet numbers that are remembered; anything below them counts as replayed."""

SENT_TIMES = 4096
"""Packets of a path whose sending time is remembered for delay samples (a power of two)."""

MAX_OUTSTANDING = 16384
"""Unacknowledged packets of one path; more are not sent. 16 MB in flight, more than any window."""

INITIAL_WINDOW = 32 * BASE_DATAGRAM_SIZE
"""Bytes in flight that a new path may have (RFC 9002 section 7.2 has 10 packets for one path)."""

MIN_WINDOW = 8 * BASE_DATAGRAM_SIZE
"""Bytes in flight that a path may always have."""

PACER_QUANTUM = 0.004
"""Time that a pacer may catch up; a driver raises it to the lateness of its turns."""

PACER_BURST = 0.010
"""Seconds that a pacer may always catch up where turns are that late: more could overflow a shallow queue."""

POLICED_QUANTUM = 0.003
"""The same behind a policer, ..."""
POLICED_BURST = 2 * 1434
"""... or the time of so many bytes, where that is longer: a turn that is a packet late must not slow a slow path."""

MAX_PACER_QUANTUM = 0.100
"""Seconds of lateness that a driver reports at most."""

SESSION_BUFFER = 16 << 20
"""Bytes that a session holds in each direction, for all its streams together."""

SERVER_BUFFER = 96 << 20
"""Bytes that all sessions of a server hold together, half of them in each direction."""

INITIAL_SESSION_WINDOW = 128 << 10
"""Receive window of a server's new session. Grows with need up to SESSION_BUFFER, while SERVER_BUFFER allows."""

INITIAL_STREAM_WINDOW = 64 << 10
"""Receive window of a new stream. Covers INITIAL_WINDOW; grows with need (docs/decisions/0003)."""

SEND_AHEAD = 64 << 10
"""Unsent bytes that a stream may hold, or as many as it has in flight: more would only be stale sooner."""

INTERACTIVE_FIRST = 16 << 10
"""A stream's first bytes, which somebody waits for whatever comes after them."""

INTERACTIVE_BACKLOG = 8 << 10
"""Unsent bytes up to which an older stream may be interactive ..."""

INTERACTIVE_LEVEL = 32 << 10
"""... while it has sent less than this lately ..."""

INTERACTIVE_RATE = 500_000.0
"""... not counting what it sends at this rate, in bytes per second."""

SEEN_BACKLOG = 8 << 20
"""Most that a stream is taken to have besides what we see, where its buffer is well filled ..."""

SEEN_SHARE = 4
"""... which is one such part of what it has sent so far."""

MAX_STREAM_WINDOW = SESSION_BUFFER
"""Largest receive window of one stream."""

MAX_STREAMS = 2048
"""Streams that a peer may have open at once: two thousand connections, and what a client asks beside them."""

MAX_SEGMENT_OVERHEAD = 2
"""A receiver holds at most this many times the window in overlapping out-of-order segments."""

MAX_CONTROL_QUEUE = 8192
"""Control frames waiting to be sent: four for each stream that a peer may open."""

MAX_COPY_QUEUE = 16384
"""Chunks waiting to be copied on one path: as many as may be outstanding on another."""

RESIDUAL_LOSS = 0.001
"""Interactive data is copied until the chance that all copies are lost is this small ..."""

MAX_COPIES = 5
"""... but not more often than this, the first sending included."""

COPY_RTTS = 2.0
"""A copy counts for that only on a path whose RTT is at most so many times the least: another one comes too late for
whoever would have been served by the fast path alone."""

COPY_SPACING = 0.004
"""Seconds between the copies that one path carries: a short burst of losses must not take them all."""

TINY_LEVEL = 1500
"""Bytes sent lately beyond which a stream gets no more copies than there are paths."""

COPY_BUDGET = 128 << 10
"""Bytes of interactive copies that a session may save up."""

COPY_SHARE = 0.25
"""Share of all pacing rates with which that budget fills."""

REPLAN_GROWTH = 1.5
"""Each further plan for unacknowledged interactive data waits this much longer ..."""

REPLAN_STEPS = 3
"""... up to so many times."""

BULK_LOSSES = 2
"""Losses from which on a bulk chunk is sent on two paths at once."""

STALL_LOOK = 0.005
"""Seconds between two looks for packets that are overdue."""

IDLE_AFTER = 0.020
"""Seconds without new data after which a path that has room copies what is oldest: a sender's pause for breath is
shorter, and every copy costs its share of a core."""

MAX_IDLE_LOOK = 400
"""Unacknowledged chunks that an idle path looks at for one that is worth a copy."""

MAX_REASON_SIZE = 256
"""Bytes of the text in a CONNECTION_CLOSE."""

MAX_OWN_FRAMES = 64
"""Answers to path challenges, and the like, that wait on each path; older ones are dropped."""

MAX_DATAGRAM_HEAD = 20
"""Bytes before the data of a DATAGRAM frame: type, flow, sequence and length."""

MAX_DATAGRAM_QUEUE = 128
"""DATAGRAM frames waiting for room on each path: two UDP datagrams of 64 KB. Older ones are dropped."""

OUTAGE_TIMEOUT = 600.0
"""Silence on all paths after which a session with open streams is given up."""

IDLE_TIMEOUT = 180.0
"""Silence on all paths after which a session without streams is given up."""

CLOSING_PTOS = 3
"""Probe timeouts for which a closed session still answers packets (RFC 9000 section 10.2)."""

HANDSHAKE_RETRY = 2.0
"""Seconds without an answer after which a client makes a new first message."""

HANDSHAKE_FAST_RETRIES = 30
"""First messages after which they become rarer: for a minute a server that restarts is asked twice a second."""

HANDSHAKE_RETRY_MAX = 30.0
"""Longest time between two first messages."""

SILENCE_TIMEOUT = 5.0
"""Seconds of silence on all links after which a client asks for another session beside the one it has."""

HANDSHAKE_REPEAT = 0.5
"""Seconds after which the same first message is sent again on every link."""

ANSWER_LIFETIME = 5.0
"""Seconds for which a server answers copies of a first message with the same bytes."""

ANSWERS_PER_HOST = 20
"""Such answers that one host gets in a second: who sends copies from many ports takes nothing from the other links."""

MAX_EMBRYOS = 1024
"""Sessions that no transport packet has confirmed yet, and cached answers; the oldest give way."""

EMBRYO_LIFETIME = 30.0
"""Seconds for which a session waits for the packet that confirms it."""

MAX_SESSIONS = 128
"""Confirmed sessions of a server; each is sure of INITIAL_SESSION_WINDOW."""

MAX_SESSIONS_PER_KEY = 4
"""Instances with one client key that live side by side."""

AMPLIFICATION_LIMIT = 3
"""Bytes sent for each byte received before an address is proven (RFC 9000 section 8.1)."""

RESETS_PER_SECOND = 2000
"""Stateless resets that a server sends in a second: after a restart all its clients need one."""

RESETS_PER_HOST = 20
"""Of those, to one host: who has seen old ids must not use up the resets of all others ..."""

RESETS_PER_ID = 5
"""... and of those, for one connection id."""

REFUSALS_PER_SECOND = 10
"""REFUSED answers that a server sends in a second."""

HANDSHAKES_PER_SECOND = 200
"""First messages that a server works on in a second before it asks for cookies: a tenth of a core."""

HANDSHAKE_BURST = 20
"""First messages that it works on at once; each takes as long as twenty packets of a session."""

COOKIES_PER_SECOND = 2000
"""Cookies that a server sends in a second: more strangers than that must not cost its sessions their packets."""

COOKIE_HOLDERS_PER_SECOND = 400
"""First messages with a valid cookie that it works on in a second beyond those: a fifth of a core."""

HANDSHAKES_PER_HOST = 20
"""Of those, the first messages of one host; each wider network that the host is in has twice as many."""

MAX_LIMITED_HOSTS = 4096
"""Hosts, and connection ids, whose measure is remembered; the oldest give way."""

COOKIE_LIFETIME = 120.0
"""Seconds for which the secret behind cookies and challenges lives (WireGuard has 120)."""

KEY_UPDATE_PACKETS = 1 << 20
"""Packets after which an end takes new keys: an eighth of what RFC 9001 section 6.6 allows AES-GCM."""

KEY_UPDATE_PERIOD = 3600.0
"""Seconds after which it does so anyway: keys that leak open one hour of traffic towards the past."""

PREVIOUS_KEYS_LIFETIME = 10.0
"""Seconds for which packets of the previous key phase are still read, once the other end has the new ones."""

STATS_INTERVAL = 1.0
"""Seconds between STATS frames of an active session."""

DEGRADED_HOLD = 5.0
"""Seconds without a sign of trouble after which a path is no longer called degraded."""

LATE_TURN = 0.050
"""Seconds that a turn is late, beyond which a path's silence does not count them: this machine did not listen."""

LONG_STOP = 0.5
"""Seconds beyond which what was on its way meanwhile says nothing of the round trip either."""

LATE_PROBE = 0.005
"""Seconds that a probe timeout is late, beyond which it is put off by as much: the answer may wait unread ..."""

MAX_EXCUSE = 0.2
"""... but by no more than this."""

DOWN_AFTER = 2.0
"""Seconds without an answer after which a path is shown as down ..."""

DOWN_PROBES = 4
"""... if at least this many of its probes are unanswered."""

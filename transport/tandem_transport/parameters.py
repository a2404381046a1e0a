"""Constants that both ends agree on, or that several files need, each with its unit, its reason and its source.

There are two groups: what both ends must agree on (the specification, PROTOCOL.md), and what one
implementation may choose. Times are seconds, sizes are bytes, rates are bytes per second.
"""

from typing import Final

# --- Specification constants ---------------------------------------------------------------

PROLOGUE: Final = b"tandem/1"
"""Noise prologue: the protocol's name and the version of its handshake, which stays as it is: what comes after the
handshake has a version of its own, which both ends agree on in it."""

FIRST_VERSION: Final = 1
"""Version of the protocol of release 0.1, whose ends do not name it."""

VERSION: Final = 2
"""Newest version of the protocol: 2 has GO_AWAY and PATH_LIMITS."""

GO_AWAY_VERSION: Final = 2
"""First version of the protocol that has GO_AWAY."""

PATH_LIMITS_VERSION: Final = 2
"""First version of the protocol that has PATH_LIMITS."""

MIN_VERSION = 1
"""Oldest version of the protocol that is still spoken."""

CONNECTION_ID_SIZE: Final = 16
"""Bytes of a connection id: 8 random bytes and an 8-byte MAC by the server's static key (PROTOCOL.md 2.1)."""

TAG_SIZE: Final = 16
"""Bytes of an authentication tag, the same in both AEADs (RFC 8439, RFC 5116)."""

MAX_PACKETS_PER_DATAGRAM: Final = 64
"""Packets of one datagram that a receiver looks at; UDP_GRO merges at most 64."""

MAX_PATHS: Final = 32
"""Path ids of one session; an id is never reused."""

MAX_VARINT: Final = (1 << 62) - 1
"""Largest value of a variable-length integer (RFC 9000 section 16)."""

MAX_PACKET_NUMBER: Final = (1 << 48) - 1
"""Largest packet number: numbers are sent whole, in 48 bits. At a million packets a second they last nine years."""

RESET_TOKEN_SIZE: Final = 16
"""Bytes of a stateless reset token (RFC 9000 section 10.3)."""

# --- Implementation constants --------------------------------------------------------------

BASE_DATAGRAM_SIZE: Final = 1200
"""UDP payload that every path is assumed to carry (RFC 9000 section 14)."""

DATAGRAM_SIZES = (1472, 1452, 1432, 1392, 1352, 1312, 1252)
"""UDP payloads that a path is probed for: Ethernet with IPv4, with IPv6, with a tunnel or two in between, LTE."""

MAX_FRAME_SIZE: Final = 2048
"""Maximum bytes of a datagram that a byte stream carries; HTTP begins with letters, which would be a larger length."""

SMALL_DATAGRAM_SIZES = (1052, 972, 872, 772, 660, 548)
"""UDP payloads that a path is probed for where it carries less than BASE_DATAGRAM_SIZE.

Every host accepts 576 bytes of IP (RFC 1122).
"""

MIN_DATAGRAM_SIZE: Final = 548
"""Smallest UDP payload that a path is probed for."""

MTU_PROBES: Final = 3
"""Lost probes of one size after which the size is ruled out (RFC 8899 section 5.1.2)."""

MTU_RETRY: Final = 600.0
"""Seconds after which a search for larger packets starts again, at most (RFC 8899 section 5.1.1)."""

MTU_SOON: Final = 30.0
"""Seconds until a path whose packet size fell is searched for larger packets; doubles each time, up to MTU_RETRY."""

SUSPICIOUS_LOSSES: Final = 2
"""Late or lost large packets, with none as large acknowledged since, that start a check of a path's packet size."""

BLACK_HOLE_LOSSES: Final = 6
"""Lost large packets after which a check may lower the packet size to that of the largest probe that arrived."""

CHECK_RUNGS = (1252, 1200, 972, 772, 548)
"""Packet sizes that a check probes all at once, if below the present one; the search finds those in between."""

CHECK_BACKOFF = (5.0, 60.0)
"""Seconds after a check that found nothing in which BLACK_HOLE_LOSSES are needed for another: at first, and at most."""

CHECK_EXTRAS: Final = 16
"""Small packets of interactive data that may be sent during a check although the congestion window is full."""

GRANULARITY: Final = 0.001
"""Shortest timer worth setting: below 1 ms, an event loop fires at once (kGranularity of RFC 9002)."""

INITIAL_PTO: Final = 0.3
"""Probe timeout of a path before its first RTT sample, in seconds."""

MAX_RTT: Final = 10.0
"""Longest RTT sample that counts, in seconds: an ACK that arrived while the machine slept says nothing of the path."""

PACKET_THRESHOLD: Final = 3
"""A packet is lost when one sent this many packets later is acknowledged (RFC 9002 section 6.1.1)."""

TIME_THRESHOLD: Final = 1.125
"""RTTs after which a packet sent before an acknowledged one is lost (RFC 9002 section 6.1.2)."""

MAX_PACKET_THRESHOLD: Final = 1024
"""Largest packet threshold of a path that reorders."""

REORDERING_MEMORY: Final = 60.0
"""Seconds after the last spurious loss for which the packet threshold stays raised."""

MAX_REMEMBERED_LOSSES: Final = 256
"""Lost packets that each path remembers, to notice if one of them arrives after all (a spurious loss)."""

TIME_THRESHOLD_SLACK: Final = 0.002
"""Seconds added to the time threshold, so that one late turn of an event loop is not taken for a loss."""

MIN_PTO_VARIANCE: Final = 0.010
"""Minimum allowance for RTT variation in the probe timeout; RFC 9002 has 1 ms, Wi-Fi needs more."""

PTO_BACKOFF_CAP: Final = 0.25
"""Longest probe interval early in a silence, in seconds: a link that returns is used again at once."""

PTO_BACKOFF_AGES = (20.0, 60.0)
"""Seconds of silence after which the probe interval rises to PTO_RARE, and after which it rises to PTO_RAREST."""

PTO_RARE: Final = 1.0
"""Probe interval between the two ages of PTO_BACKOFF_AGES while a stream is open, in seconds."""

PTO_RAREST: Final = 2.0
"""Probe interval of a long silence while a stream is open, in seconds; a returning link is used within 3 s."""

PTO_IDLE: Final = 15.0
"""Probe interval of a long silence while no stream is open, in seconds."""

KEEPALIVE_ACTIVE: Final = 1.0
"""Seconds without sending after which a path sends a PING while a stream is open and active."""

KEEPALIVE_IDLE: Final = 15.0
"""Seconds without sending after which a path of an idle session sends a PING.

This is below every NAT's timeout, and costs less than 2 MB a day for each path.
"""

ACTIVE_PERIOD: Final = 10.0
"""Seconds for which a session counts as active after stream data was sent or received."""

MAX_ACK_DELAY: Final = 0.005
"""Longest delay of an acknowledgement, in seconds, so that one ACK frame can cover several packets."""

ACK_EVERY: Final = 10
"""Ack-eliciting packets after which an acknowledgement is sent at once."""

MAX_ACK_RANGES: Final = 32
"""Ranges in one ACK frame; older ranges were sent in earlier ACK frames, which may or may not have arrived."""

MAX_TRACKED_RANGES: Final = 1024
"""Ranges of received packet numbers that are remembered; a number below them counts as a replay."""

SENT_TIMES: Final = 4096
"""Packets of a path whose sending time is remembered for delay samples (a power of two)."""

MAX_OUTSTANDING: Final = 16384
"""Unacknowledged packets that one path may have; then it stops sending. 16 MB in flight, more than any window."""

INITIAL_WINDOW: Final = 32 * BASE_DATAGRAM_SIZE
"""Initial congestion window of a path, in bytes (RFC 9002 section 7.2 has 10 packets for one path)."""

MIN_WINDOW: Final = 8 * BASE_DATAGRAM_SIZE
"""Minimum congestion window of a path, in bytes."""

PACER_QUANTUM: Final = 0.004
"""Seconds of sending that a pacer may catch up; a driver raises this to two gaps between its turns, or to their
lateness if that is longer."""

PACKET_TIME: Final = 5e-6
"""Seconds that a pacer counts for a packet at least. No packet costs the sender less; where there is no bottleneck, and
the rate is without bounds, a turn would otherwise send more than it has time for."""

PACER_BURST: Final = 0.010
"""Seconds of sending that a pacer may always catch up if turns are that late: more could overflow a short queue."""

POLICED_QUANTUM: Final = 0.003
"""Seconds of sending that a pacer may catch up behind a policer, or the time of POLICED_BURST if that is longer."""
POLICED_BURST: Final = 2 * 1434
"""Bytes that a pacer may always catch up behind a policer: a turn late by one packet must not slow down a slow path."""

MAX_PACER_QUANTUM: Final = 0.100
"""Longest lateness, in seconds, that a driver reports to a pacer."""

SESSION_BUFFER = 16 << 20
"""Bytes that a session buffers in each direction, for all its streams together."""

SERVER_BUFFER: Final = 96 << 20
"""Bytes that all sessions of a server buffer together, half of them in each direction."""

INITIAL_SESSION_WINDOW: Final = 128 << 10
"""Receive window of a server's new session. Grows as needed up to SESSION_BUFFER, while SERVER_BUFFER allows."""

INITIAL_STREAM_WINDOW: Final = 64 << 10
"""Receive window of a new stream. Covers INITIAL_WINDOW; grows as needed (docs/decisions/0003)."""

SEND_AHEAD: Final = 64 << 10
"""Unsent bytes that a stream buffers, or as many as it has in flight if more. A longer buffer adds delay, and nothing
else where this much lasts until the next turn."""

MAX_SEND_AHEAD: Final = 1 << 20
"""Unsent bytes that a stream may buffer where it sends SEND_AHEAD at once, so that its buffer runs dry in each turn."""

SMALL_DATA: Final = 1000
"""Bytes of stream data, written or received at once, for which somebody may wait: a key press, its echo, a request."""

INTERACTIVE_FIRST: Final = 16 << 10
"""Bytes at the start of a stream that are always interactive: someone waits for them, whatever comes after."""

INTERACTIVE_BACKLOG: Final = 8 << 10
"""Most unsent bytes with which a stream is still interactive after its first INTERACTIVE_FIRST bytes."""

INTERACTIVE_LEVEL: Final = 32 << 10
"""Recently sent bytes from which on a stream is bulk; the level falls by INTERACTIVE_RATE."""

INTERACTIVE_RATE: Final = 500_000.0
"""Bytes per second that a stream may send without raising its level (see INTERACTIVE_LEVEL)."""

SEEN_BACKLOG: Final = 8 << 20
"""Most bytes that a stream with a well filled buffer is assumed to have left outside that buffer."""

SEEN_SHARE: Final = 4
"""Divisor for the backlog outside a stream's buffer: assumed to be this part of what the stream has sent so far."""

MAX_STREAM_WINDOW = SESSION_BUFFER
"""Largest receive window of one stream."""

MAX_STREAMS: Final = 2048
"""Streams that a peer may have open at once: 2000 TCP connections, and what a client asks besides them."""

MAX_SEGMENT_OVERHEAD: Final = 2
"""Memory that overlapping out-of-order segments may take, as a multiple of the receive window."""

MAX_CONTROL_QUEUE: Final = 8192
"""Control frames that may wait to be sent: four for each stream that a peer may open."""

MAX_COPY_QUEUE: Final = 16384
"""Chunks that may wait to be copied on one path: as many as may be outstanding on another."""

RESIDUAL_LOSS: Final = 0.001
"""Chance of losing every copy at which interactive data has enough copies (MAX_COPIES is the other limit)."""

MAX_COPIES: Final = 5
"""Most packets that one plan gives the same interactive data, the first included; more if there are more paths."""

COPY_RTTS: Final = 2.0
"""Highest RTT, as a multiple of the lowest, at which a path's copy counts toward RESIDUAL_LOSS.

A copy on a slower path arrives too late to help a reader that the fastest path alone would have served.
"""

COPY_SPACING: Final = 0.004
"""Seconds between the copies that one path carries: a short burst of losses must not take all of them."""

TINY_LEVEL: Final = 1500
"""Recently sent bytes above which a stream gets at most one copy for each path."""

COPY_BUDGET: Final = 128 << 10
"""Bytes of interactive copies that a session may save up (see COPY_SHARE)."""

COPY_SHARE: Final = 0.25
"""Share of all pacing rates at which the budget for copies refills, up to COPY_BUDGET."""

REPLAN_GROWTH: Final = 1.5
"""Factor by which the wait grows before each further plan of copies for unacknowledged interactive data."""

REPLAN_STEPS: Final = 3
"""Most times that the wait before a further plan of copies grows by REPLAN_GROWTH."""

BULK_LOSSES: Final = 2
"""Losses of a bulk chunk from which on it is sent on two paths at once."""

STALL_LOOK: Final = 0.005
"""Seconds between two checks for overdue packets."""

MAX_STALL_LOOK: Final = 16
"""Overdue chunks among which a path looks for one that fits in its packets, each time that it may send."""

IDLE_AFTER: Final = 0.020
"""Seconds without new data after which a path with free capacity copies the oldest unacknowledged data.

A sender's short pauses are shorter than this, and every copy costs CPU time.
"""

MAX_IDLE_LOOK: Final = 400
"""Unacknowledged chunks among which an idle path looks for one that is worth a copy."""

MAX_REASON_SIZE: Final = 256
"""Bytes of the reason text in a CONNECTION_CLOSE frame."""

MAX_OWN_FRAMES: Final = 64
"""Path responses and similar frames that may wait on each path; the oldest are dropped."""

MAX_DATAGRAM_HEAD: Final = 20
"""Bytes before the data of a DATAGRAM frame: type, flow, sequence and length."""

MAX_DATAGRAM_QUEUE: Final = 128
"""DATAGRAM frames that may wait on each path: two UDP datagrams of 64 KB. The oldest are dropped."""

OUTAGE_TIMEOUT: Final = 600.0
"""Seconds of silence on all paths after which a session with open streams is closed."""

IDLE_TIMEOUT: Final = 180.0
"""Seconds of silence on all paths after which a session without streams is closed."""

CLOSING_PTOS: Final = 3
"""Probe timeouts for which a closed session still answers packets (RFC 9000 section 10.2)."""

HANDSHAKE_RETRY: Final = 2.0
"""Seconds without a response after which a client sends a new initiation."""

HANDSHAKE_FAST_RETRIES: Final = 30
"""Initiations before a client backs off: while a server restarts, it is asked twice a second for a minute."""

HANDSHAKE_RETRY_MAX: Final = 30.0
"""Longest time between two new initiations, in seconds."""

SILENCE_TIMEOUT: Final = 5.0
"""Seconds of silence on all links after which a client asks for another session beside the one it has."""

HANDSHAKE_REPEAT: Final = 0.5
"""Seconds after which the same initiation is sent again on every link."""

ANSWER_LIFETIME: Final = 5.0
"""Seconds for which a server answers copies of an initiation with the same bytes."""

ANSWERS_PER_HOST: Final = 20
"""Repeated answers to one initiation that one host gets in a second.

A sender of copies from many ports must not use up the answers of the other links.
"""

MAX_EMBRYOS: Final = 1024
"""Sessions that no TRANSPORT packet has confirmed yet, and as many cached answers; the oldest are dropped."""

EMBRYO_LIFETIME: Final = 30.0
"""Seconds for which a new session waits for the packet that confirms it."""

MAX_SESSIONS: Final = 128
"""Confirmed sessions that a server may have; each is guaranteed INITIAL_SESSION_WINDOW."""

MAX_SESSIONS_PER_KEY: Final = 4
"""Client instances with the same key that may have sessions at once."""

AMPLIFICATION_LIMIT: Final = 3
"""Bytes that may be sent for each byte received before an address is validated (RFC 9000 section 8.1)."""

RESETS_PER_SECOND: Final = 2000
"""Stateless resets that a server sends in a second: after a restart, all its clients need one."""

RESETS_PER_HOST: Final = 20
"""Stateless resets that a server sends to one host in a second.

A host that has seen old connection ids must not use up the resets of all others.
"""

RESETS_PER_ID: Final = 5
"""Stateless resets that a server sends to one host for one connection id in a second."""

REFUSALS_PER_SECOND: Final = 10
"""REFUSED answers that a server sends in a second."""

HANDSHAKES_PER_SECOND: Final = 200
"""Initiations that a server processes in a second before it asks for cookies: a tenth of a core."""

HANDSHAKE_BURST: Final = 20
"""Initiations that a server processes at once; each takes as long as twenty packets of a session."""

COOKIES_PER_SECOND: Final = 2000
"""Cookies that a server sends in a second: a larger flood of strangers must not cause packet loss in its sessions."""

COOKIE_HOLDERS_PER_SECOND: Final = 400
"""Initiations with a cookie that a server processes in a second beyond HANDSHAKES_PER_SECOND: a fifth of a core."""

HANDSHAKES_PER_HOST: Final = 20
"""Initiations with a valid cookie that a server processes for one host in a second.

Each wider network that the host is in has twice as many.
"""

MAX_LIMITED_HOSTS: Final = 4096
"""Hosts, and connection ids, whose rate limiter is remembered; the oldest are dropped."""

COOKIE_LIFETIME: Final = 120.0
"""Lifetime in seconds of the secret behind cookies and challenges (WireGuard has 120)."""

KEY_UPDATE_PACKETS = 1 << 20
"""Packets after which an end updates its keys: an eighth of what RFC 9001 section 6.6 allows AES-GCM."""

KEY_UPDATE_PERIOD: Final = 3600.0
"""Seconds after which an end updates its keys anyway: leaked keys expose at most one hour of past traffic."""

PREVIOUS_KEYS_LIFETIME: Final = 10.0
"""Seconds for which packets of the previous key phase are still read after the other end has the new keys."""

STATS_INTERVAL: Final = 1.0
"""Seconds between STATS frames of an active session."""

DEGRADED_HOLD: Final = 5.0
"""Seconds without a sign of trouble after which a path is no longer shown as degraded."""

LATE_TURN: Final = 0.050
"""Seconds of lateness above which the delay of a turn is no silence of the paths: this machine did not listen."""

LONG_STOP: Final = 0.5
"""Seconds of lateness above which packets that were in flight give no RTT sample: their ACKs waited unread."""

LATE_PROBE: Final = 0.005
"""Seconds of lateness above which a probe timeout is postponed by as much: the acknowledgement may wait unread."""

MAX_EXCUSE: Final = 0.2
"""Most seconds by which a late probe timeout is postponed (see LATE_PROBE)."""

DOWN_AFTER: Final = 2.0
"""Seconds without an answer after which a path is shown as down, if DOWN_PROBES packets are unanswered too."""

DOWN_PROBES: Final = 4
"""Unanswered packets from which on a silent path is shown as down (see DOWN_AFTER)."""

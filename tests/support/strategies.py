"""Hypothesis strategies for what travels on the wire."""

from hypothesis import strategies as st

from tandem_transport.wire import frames
from tandem_transport.wire.frames import Frame

INTEGER = st.integers(0, (1 << 62) - 1)
PATH_ID = st.integers(0, 31)


@st.composite
def ack_frames(draw: st.DrawFn) -> frames.AckFrame:
    ranges = [(low, low + draw(st.integers(0, 1000))) for low in [draw(st.integers(0, 1 << 40))]]
    for _ in range(draw(st.integers(0, 31))):
        low = ranges[-1][1] + 2 + draw(st.integers(0, 1000))
        ranges.append((low, low + draw(st.integers(0, 1000))))
    times = draw(st.tuples(INTEGER, INTEGER, INTEGER))
    return frames.AckFrame(draw(PATH_ID), *times, tuple(reversed(ranges)))


EIGHT_BYTES = st.binary(min_size=8, max_size=8)
WISH = st.builds(frames.PathPreference, PATH_ID, st.sampled_from(frames.PathUse), INTEGER)
LIMIT = st.builds(frames.PathLimit, PATH_ID, INTEGER)
COUNT = st.builds(frames.PathCount, PATH_ID, INTEGER, INTEGER)
FRAME: st.SearchStrategy[Frame] = st.one_of(
    st.just(frames.PingFrame()),
    ack_frames(),
    st.builds(frames.ResetStreamFrame, INTEGER, INTEGER, INTEGER),
    st.builds(frames.StopSendingFrame, INTEGER, INTEGER),
    st.builds(frames.StreamFrame, INTEGER, st.integers(0, 1 << 61), st.binary(max_size=100), st.booleans()),
    st.builds(frames.MaxDataFrame, INTEGER, INTEGER),
    st.builds(frames.MaxStreamDataFrame, INTEGER, INTEGER, INTEGER),
    st.builds(frames.MaxStreamsFrame, INTEGER),
    st.builds(frames.PathChallengeFrame, EIGHT_BYTES),
    st.builds(frames.PathResponseFrame, EIGHT_BYTES),
    st.builds(frames.ConnectionCloseFrame, INTEGER, st.text(st.characters(exclude_categories=["C", "Z"]), max_size=60)),
    st.builds(frames.PathPolicyFrame, INTEGER, INTEGER, st.lists(WISH, max_size=32).map(tuple)),
    st.builds(frames.StatsFrame, INTEGER, INTEGER, INTEGER, st.lists(COUNT, max_size=32).map(tuple)),
    st.just(frames.GoAwayFrame()),
    st.builds(frames.PathLimitsFrame, INTEGER, st.lists(LIMIT, max_size=32).map(tuple)),
    st.builds(frames.DatagramFrame, INTEGER, INTEGER, st.binary(max_size=100)),
)

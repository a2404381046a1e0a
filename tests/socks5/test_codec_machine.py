"""Random conversations of clients with the codec: whatever they say, and in whatever pieces."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tandem_socks import Reply, ServerConnection, SocksError, State, Terms

WORDS = (
    b"\x05\x01\x00",
    b"\x05\x01\x02",
    b"\x05\x02\x00\x02",
    b"\x01\x01a\x01b",
    b"\x05\x01\x00\x01\xc0\x00\x02\x01\x00\x50",
    b"\x05\x03\x00\x03\x01h\x00\x50",
    b"\x04\x01\x00\x50\xc0\x00\x02\x01u\x00",
    b"\x04\x02\x00\x50\x00\x00\x00\x01\x00host\x00",
    b"CONNECT host:80 HTTP/1.1\r\n",
    b"POST http://host/ HTTP/1.1\r\n",
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n",
    b"Content-Length: 3\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Proxy-Authorization: Basic YTpi\r\n",
    b"\r\n",
    b"3\r\nabc\r\n0\r\n\r\n",
    b"\x16\x03\x01",
)


class Conversation(RuleBasedStateMachine):
    """A client that says things, and an owner that keeps to the protocol of the codec."""

    @initialize(needs_password=st.booleans())
    def begin(self, needs_password: bool) -> None:
        self.needs_password = needs_password
        self.connection = ServerConnection(Terms(needs_password=needs_password))
        self.sent = bytearray()
        self.is_trusted = not needs_password
        self.ended: bytes | None = None

    @rule(words=st.lists(st.sampled_from(WORDS), max_size=4), step=st.integers(1, 64))
    def say(self, words: list[bytes], step: int) -> None:
        self._hear(b"".join(words), step)

    @rule(data=st.binary(max_size=50), step=st.integers(1, 50))
    def babble(self, data: bytes, step: int) -> None:
        self._hear(data, step)

    @precondition(lambda self: self.connection.state is State.AUTHENTICATING)
    @rule(is_accepted=st.booleans())
    def decide(self, is_accepted: bool) -> None:
        assert self.connection.credentials is not None
        self.is_trusted = self.is_trusted or is_accepted
        self.connection.decide(is_accepted=is_accepted)

    @precondition(lambda self: self.connection.state is State.PENDING)
    @rule()
    def serve(self) -> None:
        self.connection.data_to_send()
        self.connection.succeed("192.0.2.1", 1)
        assert self.connection.state is State.RELAYING

    @precondition(lambda self: self.connection.state is State.PENDING)
    @rule(reply=st.sampled_from(list(Reply)[1:]))
    def refuse(self, reply: Reply) -> None:
        self.connection.data_to_send()
        self.connection.fail(SocksError(reply, "no"))
        assert len(self.connection.data_to_send()) >= 8, "a whole reply"

    @invariant()
    def nobody_gets_in_without_a_password(self) -> None:
        if self.connection.request is not None:
            assert self.is_trusted

    @invariant()
    def a_closed_one_says_why_and_nothing_more(self) -> None:
        if self.connection.state is not State.CLOSED:
            return
        assert self.connection.error
        said = self.connection.data_to_send()
        if self.ended is not None:
            assert said == b""
        self.ended = said
        assert self.connection.trailing_data() == b""

    def _hear(self, data: bytes, step: int) -> None:
        if self.connection.state is State.RELAYING:
            return  # the owner no longer feeds it
        for begin in range(0, len(data), step):
            self.connection.receive_data(data[begin : begin + step])


Conversation.TestCase.settings = settings(max_examples=200, stateful_step_count=12, deadline=None)
TestConversation = Conversation.TestCase

"""Configuration and invites: where values come from, and what bad ones get."""

import base64
import subprocess
import sys
from hashlib import blake2s
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem.base.errors import UsageError
from tandem.base.logs import mask
from tandem.config import config, old_names
from tandem.config.invites import FLEET_PREFIX, PREFIX, Invite, decode_invites, encode_fleet
from tandem.config.passwords import hash_password

INVITE = Invite(b"s" * 32, b"c" * 32, ("vpn.example.org:8120", "[2001:db8::1]:8121"), "laptop")


@pytest.fixture(autouse=True)
def no_outside_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("TANDEM_INVITE", raising=False)


def test_defaults() -> None:
    loaded = config.load()
    assert loaded.socks.listen == "127.0.0.1:1080"
    assert loaded.mode == "adaptive"
    assert loaded.server.dial is True


def test_file_then_environment_then_options(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "tandem.toml"
    file.write_text(
        '[socks]\nlisten = "127.0.0.1:1081"\n[server]\nlisten = ["127.0.0.1:1"]\ndial = false\n'
        '[[link]]\nname = "a"\nbind = "eth0"\n[[forward]]\nmatch = "web"\ntarget = "127.0.0.1:80"\n'
    )
    assert config.load(file).socks.listen == "127.0.0.1:1081"
    monkeypatch.setenv("TANDEM_SOCKS__LISTEN", "127.0.0.1:1082")
    loaded = config.load(file)
    assert loaded.socks.listen == "127.0.0.1:1082"
    assert loaded.server.dial is False
    loaded = config.load(file, {"socks": {"listen": "127.0.0.1:1083"}, "server": {"listen": ["127.0.0.1:2"]}})
    assert loaded.socks.listen == "127.0.0.1:1083"
    assert loaded.server.listen == ["127.0.0.1:2"]
    assert loaded.server.dial is False
    assert (loaded.link[0].bind, loaded.forward[0].match) == ("eth0", "web")


def test_names_of_an_earlier_release_are_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "tandem.toml"
    file.write_text(
        '[[link]]\nname = "a"\nbind = "eth0"\ncost = "normal"\n[[link]]\nname = "b"\nbind = "usb0"\ncost = "metered"\n'
        '[[client]]\nname = "kid-*"\nmax_streams = 200\n'
    )
    old_names.take_notes()
    loaded = config.load(file)
    assert [link.use for link in loaded.link] == ["available", "metered"]
    assert [(quota.name, quota.max_streams) for quota in loaded.quota] == [("kid-*", 200)]
    notes = old_names.take_notes()
    assert ["`use`" in note or "[[quota]]" in note for note in notes] == [True, True]
    assert old_names.take_notes() == []
    for variable, most in (("tandem_client", 5), ("TANDEM_QUOTA", 7)):  # a later source overrides an earlier one
        monkeypatch.setenv(variable, f'[{{"name": "*", "max_streams": {most}}}]')
        assert config.load(file).quota[0].max_streams == most
    monkeypatch.delenv("tandem_client")
    monkeypatch.setenv("TANDEM_CLIENT", "five")
    with pytest.raises(UsageError, match="environment: TANDEM_CLIENT: not JSON"):
        config.load()
    monkeypatch.delenv("TANDEM_CLIENT")
    monkeypatch.setenv("TANDEM_CLIENT__0__NAME", "b")
    with pytest.raises(UsageError, match="unknown TANDEM_CLIENT__0__NAME"):
        config.load()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[[client]]\nname = "a"\n[[quota]]\nname = "b"\n', "client: unknown key"),
        ('[[link]]\nname = "a"\nbind = "x"\ncost = "backup"\nuse = "backup"\n', "cost: unknown key"),
        ('[[link]]\nname = "a"\nbind = "x"\ncost = "cheap"\n', "'available', 'metered' or 'backup', got 'cheap'"),
    ],
)
def test_an_old_name_beside_the_new_one_is_a_mistake(text: str, problem: str, tmp_path: Path) -> None:
    file = tmp_path / "tandem.toml"
    file.write_text(text)
    with pytest.raises(UsageError, match=problem):
        config.load(file)


def test_the_default_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "tandem").mkdir()
    (tmp_path / "tandem" / "tandem.toml").write_text('[socks]\nlisten = "127.0.0.1:9"\n')
    assert config.load().socks.listen == "127.0.0.1:9"


def test_all_mistakes_at_once_with_place_value_and_what_is_accepted(tmp_path: Path) -> None:
    file = tmp_path / "bad.toml"
    file.write_text(
        'mode = "fast"\n[sokcs]\nlisten = "x"\n[[link]]\nname = "a"\nbnd = "w"\n'
        '[[listen]]\nport = 70000\nforward = "web"\n'
        '[admin]\nlisten = "0.0.0.0:1"\n[server]\nlisten = ["nope"]\nallow = ["10.0.0.1/8"]\n'
    )
    with pytest.raises(UsageError) as caught:
        config.load(file)
    lines = str(caught.value).splitlines()
    assert lines[0] == "configuration: 7 problems"
    assert set(lines[1:]) == {
        f"  {file}: mode: input should be 'duplicate' or 'adaptive', got 'fast'",
        f"  {file}: sokcs: unknown key, did you mean `socks`?",
        f"  {file}: link[a].bnd: unknown key, did you mean `bind`?",
        f"  {file}: listen[0].port: input should be less than or equal to 65535, got 70000",
        f"  {file}: admin: listen: 0.0.0.0:1 is not a loopback address; set a token, or use 127.0.0.1",
        f"  {file}: server.listen[0]: address: 'nope' is not an address and a port; "
        "accepted is HOST:PORT or [IPV6]:PORT",
        f"  {file}: server.allow[0]: 10.0.0.1/8 has host bits set; accepted is ADDRESS/BITS, such as 192.168.1.0/24",
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[socks", "bad.toml: "),
        ('[socks]\nlisten = "0.0.0.0:1080"', "would be open to everybody"),
        ('[[link]]\nname="a"\nbind="x"\n[[link]]\nname="a"\nbind="y"', "link: name a is there twice"),
        ('[[link]]\nname="a"\nbind="x"\n[[link]]\nname="b"\nbind="x"', "link: bind x is there twice; two links need"),
        ('[[link]]\nname="a"\nbind="x"\ndaily_cap="5"', r"link\[a\].daily_cap: '5' is not an amount of data; accepted"),
        ('[[link]]\nname="a"\nbind="x"\nus="metered"', r"link\[a\].us: unknown key, did you mean `use`"),
        (
            '[[link]]\nname="a"\nbind="x"\nmax_rate=5',
            r"link\[a\].max_rate: '5' is not a rate; accepted is a number and bit/s",
        ),
        (
            '[[link]]\nname="a"\nbind="x"\ndaily_cap=["5 GB"]',
            r"daily_cap: input should be a valid string, got \['5 GB'\]",
        ),
        ("[server]\nstate=5", r"server.state: input is not a valid path .*, got 5"),
        ('[link]\nname="a"\nbind="x"', r"link: it is a list of tables: \[\[link\]\], not \[link\]"),
        (
            '[server]\nworkers=2\n[[publish]]\nclient="van-*"\nname="web"\nlisten="0.0.0.0:8443"',
            r"publish: client van-\* may be several clients; .* name one client",
        ),
        ('[[route]]\nmatch="private:22"\nvia="direct"', "private takes no port"),
        ('[[rule]]\naction="deny"\nmatch="*.example.org"', r"has no port, so it is the name of a forward"),
    ],
)
def test_single_mistakes(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "bad.toml"
    file.write_text(text)
    with pytest.raises(UsageError, match=message):
        config.load(file)


def test_what_is_there_twice_is_told_beside_other_mistakes(tmp_path: Path) -> None:
    file = tmp_path / "bad.toml"
    link = '[[link]]\nname="a"\nbind="x"\ndaily_cap=5\n'
    file.write_text(f"mode=1\n{link}{link}")
    with pytest.raises(UsageError) as caught:
        config.load(file)
    lines = str(caught.value).splitlines()
    assert lines[0] == "configuration: 5 problems"
    assert lines[-2:] == [
        "  link: name a is there twice",
        "  link: bind x is there twice; two links need two addresses or interfaces",
    ]
    assert sum("link[a].daily_cap: '5' is not an amount of data" in line for line in lines) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"socks": {"listen": "x"}}, "  option --socks: address: 'x' is not"),
        ({"admin": {"listen": "x"}}, "  option --admin: address: 'x' is not"),
        ({"server": {"allow": ["10.0.0.1/8"]}}, "  option --allow[0]: 10.0.0.1/8 has host bits set"),
        ({"link": [{"name": "a", "bind": "x", "endpoint": "y"}]}, "  option --link[a].endpoint: address: 'y' is not"),
        ({"mode": "fast"}, "  option --mode: input should be 'duplicate' or 'adaptive', got 'fast'"),
    ],
)
def test_options_are_told_by_their_names(options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        config.load(None, options)
    assert str(caught.value).splitlines()[1].startswith(message)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        config.load(tmp_path / "none.toml")


def test_unknown_environment_variables_are_mistakes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TANDEM_SOKCS__LISTEN", "127.0.0.1:1")
    with pytest.raises(UsageError, match="TANDEM_SOKCS__LISTEN"):
        config.load()


def test_a_mistake_in_the_environment_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TANDEM_SOCKS__LISTEN", "nowhere")
    with pytest.raises(UsageError, match="environment TANDEM_SOCKS__LISTEN"):
        config.load()


# --- invites ---


def test_an_invite_comes_back() -> None:
    text = INVITE.encode()
    assert text.startswith(PREFIX)
    assert Invite.decode(f"  {text}\n") == INVITE


def test_an_invite_tells_nothing_when_shown() -> None:
    assert "c" * 32 not in repr(INVITE)
    assert mask(f"got {INVITE.encode()} from") == "got tandem://*** from"
    shown = repr(config.load(options={"invite": INVITE.encode()}))
    assert INVITE.encode() not in shown


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "does not begin"),
        ("http://example.org", "does not begin"),
        ("tandem://3/AAAA", "newer Tandem"),
        (INVITE.encode()[:-1], "checksum"),
        (INVITE.encode()[:-2] + "AA", "checksum"),
        (INVITE.encode() + "!", "a character"),
        (PREFIX, "checksum"),
    ],
)
def test_malformed_invites(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        Invite.decode(text)
    assert caught.value.exit_code == 2
    assert text.removeprefix(PREFIX)[:20] not in str(caught.value) or len(text) < 20


@given(st.binary(max_size=200))
def test_arbitrary_invites_are_usage_errors(data: bytes) -> None:
    text = base64.urlsafe_b64encode(data).decode().rstrip("=")
    with pytest.raises(UsageError):
        Invite.decode(PREFIX + text)


FLEET = [INVITE, Invite(b"t" * 32, b"c" * 32, ("192.0.2.1:8120",), "laptop")]


def test_an_invite_to_a_fleet_comes_back() -> None:
    text = encode_fleet(FLEET)
    assert text.startswith(FLEET_PREFIX)
    assert decode_invites(f" {text}\n") == FLEET
    assert decode_invites(INVITE.encode()) == [INVITE]
    with pytest.raises(UsageError, match="newer Tandem"):
        Invite.decode(text)
    with pytest.raises(UsageError, match="an invite to 80 servers"):
        encode_fleet(FLEET * 40)


@pytest.mark.parametrize("cut", range(1, 120, 7))
def test_an_invite_to_a_fleet_that_was_cut_is_a_usage_error(cut: int) -> None:
    body = base64.urlsafe_b64decode(encode_fleet(FLEET).removeprefix(FLEET_PREFIX) + "==")[:-4][:-cut]
    text = base64.urlsafe_b64encode(body + blake2s(body, digest_size=4).digest()).decode().rstrip("=")
    with pytest.raises(UsageError):
        decode_invites(FLEET_PREFIX + text)


HASH = hash_password("secret")


@pytest.mark.parametrize(
    "section",
    [{}, {"allow_from": ["192.168.1.0/24"]}, {"user": [{"name": "anna", "password": HASH}]}],
    ids=["nothing", "networks", "passwords"],
)
def test_an_open_port_needs_networks_or_passwords(section: dict[str, object]) -> None:
    options = {"socks": {"listen": "0.0.0.0:1080", **section}}
    if section:
        assert config.load(None, options).socks.listen == "0.0.0.0:1080"
        assert HASH not in repr(config.load(None, options))
    else:
        with pytest.raises(UsageError, match=r"open to everybody.*allow_from.*socks\.user"):
            config.load(None, options)


def test_a_password_in_the_clear_is_refused_and_not_repeated() -> None:
    with pytest.raises(UsageError, match="`tandem password` makes one") as caught:
        config.load(None, {"socks": {"user": [{"name": "anna", "password": "hunter2"}]}})
    assert "hunter2" not in str(caught.value)


def test_reading_the_configuration_loads_little() -> None:
    """What only asks for a configuration, such as completion in a shell, must not wait for the protocols."""
    script = "import sys, tandem.config.config; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, check=True)
    assert not {"tandem_transport", "tandem_socks", "cryptography", "aiohttp"} & set(done.stdout.split())

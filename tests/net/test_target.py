import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.errors import UsageError
from loadgen.net.target import ACCEPTED, SCHEMES, Target, with_numeric_host, without_password


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("localhost:9999", Target("localhost", 9999)),
        ("tcp://10.0.0.5:80", Target("10.0.0.5", 80)),
        ("tcp://example.org:80/", Target("example.org", 80)),
        ("[::1]:1", Target("::1", 1)),
        ("tcp://[2001:db8::1]:65535", Target("2001:db8::1", 65535)),
        ("[fe80::1%eth0]:9999", Target("fe80::1%eth0", 9999)),
        ("[fe80::1%br-0a1b]:9999", Target("fe80::1%br-0a1b", 9999)),
        ("unix:///run/server.sock", Target(path="/run/server.sock")),
        ("unix:///with space:80", Target(path="/with space:80")),
        ("tls://host:1", Target("host", 1, scheme=SCHEMES["tls"])),
        ("HTTP://host", Target("host", 80, scheme=SCHEMES["http"])),
        ("https://[::1]/a?b=c", Target("::1", 443, "", SCHEMES["https"], "/a?b=c")),
        ("ws://host:8080/chat", Target("host", 8080, "", SCHEMES["ws"], "/chat")),
        ("redis://:p%40@h/2", Target("h", 6379, "", SCHEMES["redis"], "/2", "", "p%40")),
        ("rediss://me:x@h:7", Target("h", 7, "", SCHEMES["rediss"], "", "me", "x")),
    ],
)
def test_every_documented_form_is_understood(text: str, target: Target) -> None:
    assert Target.parse(text) == target


@pytest.mark.parametrize(
    "text",
    [
        "",
        "localhost",
        "localhost:",
        ":80",
        "localhost:0",
        "localhost:65536",
        "localhost:-1",
        "localhost:http",
        "::1:80",
        "[::1]",
        "[::1]80",
        "[localhost]:80",
        "user@host:80",
        "host:80/path",
        "ftp://host:80",
        "tcp://host:80?query",
        "udp://host",
        "http://user@host",
        "http://host:80/a b",
        "two words:80",
    ],
)
def test_another_form_is_refused_with_the_text_and_the_accepted_forms(text: str) -> None:
    with pytest.raises(UsageError) as refusal:
        Target.parse(text)
    assert str(refusal.value).startswith(f"TARGET: {text!r} is not accepted; ")
    assert str(refusal.value).endswith(ACCEPTED)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("localhost", "the port is missing"),
        ("htp://localhost", "there is no scheme 'htp'; did you mean http://?"),
        ("xyz://localhost", "there is no scheme 'xyz'; write"),
        ("http://", "the host is missing"),
        ("http://me:secret@localhost/", "are of redis:// only"),
        ("localhost:80/path", "a path is of http://"),
        ("http://localhost/#top", "a fragment"),
        ("tcp://localhost", "the port is missing"),
        ("/run/app.sock", "did you mean unix:///run/app.sock?"),
    ],
)
def test_what_was_probably_meant_is_said(text: str, hint: str) -> None:
    with pytest.raises(UsageError) as refusal:
        Target.parse(text)
    assert hint in str(refusal.value)


@pytest.mark.parametrize("text", ["unix://", "unix://relative.sock"])
def test_a_unix_socket_needs_an_absolute_path(text: str) -> None:
    with pytest.raises(UsageError, match="absolute path"):
        Target.parse(text)


def test_only_a_path_makes_a_unix_target() -> None:
    assert Target(path="/run/x").is_unix
    assert not Target("host", 80).is_unix


@pytest.mark.parametrize(
    "text", ["localhost:9999", "[::1]:80", "[fe80::1%eth0]:80", "unix:///run/x.sock"]
)
def test_a_target_is_written_as_it_is_read(text: str) -> None:
    assert str(Target.parse(text)) == text


def test_no_password_is_shown() -> None:
    assert str(Target.parse("redis://me:secret@host/1")) == "redis://me:***@host:6379/1"
    assert without_password("redis://me:secret@host/1") == "redis://me:***@host/1"
    with pytest.raises(UsageError) as refusal:
        Target.parse("redis://me:secret@host:0")
    assert "secret" not in str(refusal.value)


@given(st.text(max_size=40) | st.from_regex(r"[\w.\[\]:%-]{1,20}:\d{1,5}", fullmatch=True))
def test_any_text_is_a_target_that_can_be_written_and_read_again_or_a_usage_error(
    text: str,
) -> None:
    try:
        target = Target.parse(text)
    except UsageError:
        return
    assert Target.parse(str(target)) == target


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        *(("h:1", "h:1"), ("tcp://[::1]:1", "[::1]:1"), ("tls://h:1", "tls://h:1")),
        *(("unix:///a?b", "unix:///a?b"), ("udp://h:1", "udp://h:1")),
        *(("http://h", "http://h:80"), ("http://h:81/", "http://h:81/")),
        *(("https://h/a/b?c", "https://h:443/***"), ("ws://[::1%lo]?c", "ws://[::1%lo]:80/***")),
        ("redis://me:se?cret@h/2", "redis://***:***@h:6379/2"),
        ("redis://:secret@h", "redis://:***@h:6379"),
    ],
)
def test_a_target_without_the_request_is_one_that_says_where(text: str, shown: str) -> None:
    kept = Target.parse(text).without_request()
    assert str(kept) == shown
    assert str(Target.parse(shown).without_request()) == shown
    assert with_numeric_host(shown, "127.0.0.1:9", []) == f"{shown} (127.0.0.1)"

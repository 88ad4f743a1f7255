"""Load tools beside loadgen: what is made of what they print, and of what was measured."""

import json
import shutil
import socket
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace

import pytest

from bench.__main__ import MEASUREMENTS
from bench.__main__ import main as bench_main
from bench.locust_ways import counting_server
from bench.peers import printed
from bench.peers.catalogue import PEERS
from bench.peers.peer import Command, Library, Load, Need, Peer
from bench.peers.printed import Told, UnreadableError
from bench.peers.processes import FailedError, Workshop, reserved_port, workshop
from bench.peers.rounds import STAMPED, THE_PEER, USER_SPACE, Compared, Round, Taken
from bench.peers.table import judged, missing_lines, notes, tables, versions_line
from bench.yardstick import Cost

MIB = 2**20


@pytest.fixture(scope="module")
def place() -> Iterator[Workshop]:
    if shutil.which("cc") is None:
        pytest.skip("programs are run below one in C, and there is no `cc` here")
    with workshop() as made:
        yield made


def test_a_reserved_port_is_for_the_server_that_is_told_it() -> None:
    with reserved_port() as port:
        place = ("127.0.0.1", port)
        with socket.socket() as another, pytest.raises(OSError, match="in use"):
            another.bind(place)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(place)
        with socket.create_server(place):  # with SO_REUSEADDR
            socket.create_connection(place).close()


class TestPrinted:
    def test_wrk(self) -> None:
        text = "Running 2s test\n  1200 requests in 2.01s, 1.5MB read\nRequests/sec:    600.00\n"
        assert printed.wrk(text) == Told(1200, 2.0)

    def test_wrk_with_errors_is_no_figure(self) -> None:
        text = (
            "  9 requests in 2.01s, 1.5MB read\n"
            "  Socket errors: connect 0, read 7, write 0, timeout 0\n"
            "Requests/sec:      4.50\n"
        )
        with pytest.raises(UnreadableError, match="Socket errors: connect 0, read 7"):
            printed.wrk(text)

    def test_h2load(self) -> None:
        text = (
            "finished in 501.20ms, 3000.00 req/s, 400.00KB/s\n"
            "requests: 1500 total, 1510 started, 1500 done, 1500 succeeded, "
            "0 failed, 0 errored, 0 timeout\n"
        )
        assert printed.h2load(text) == Told(1500, 0.5)

    def test_h2load_with_failures_is_no_figure(self) -> None:
        text = "finished in 1s, 30.00 req/s\n 30 succeeded, 2 failed, 1 errored, 0 timeout\n"
        with pytest.raises(UnreadableError, match="2 failed, 1 errored, 0 timeout"):
            printed.h2load(text)

    def test_autocannon(self) -> None:
        report = {"2xx": 1500, "duration": 2.02, "errors": 0, "timeouts": 0, "non2xx": 0}
        assert printed.autocannon(json.dumps(report)) == Told(1500, 2.02)
        for failed in ({"errors": 3}, {"non2xx": 3}, {"2xx": 0}):
            with pytest.raises(UnreadableError):
                printed.autocannon(json.dumps(report | failed))
        with pytest.raises(UnreadableError):
            printed.autocannon("npm ERR!")

    def test_redis_benchmark_by_the_name_of_the_column(self) -> None:
        text = '"test","p50_latency_ms","rps"\n"PING_MBULK","0.5","4000.00"\n'
        assert printed.redis_benchmark(text, 1000) == Told(1000, 0.25)

    def test_sockperf_by_all_of_its_run(self) -> None:
        text = (
            "sockperf: [Total Run] RunTime=1.500 sec; Warm up time=400 msec; "
            "SentMessages=31; ReceivedMessages=30\n"
            "sockperf: [Valid Duration] RunTime=0.550 sec; SentMessages=9; ReceivedMessages=9\n"
        )
        assert printed.sockperf(text) == Told(30, 1.5)

    def test_iperf3_in_blocks(self) -> None:
        report = {"end": {"sum_sent": {"bytes": 4096, "seconds": 2.0}}}
        assert printed.iperf3(json.dumps(report), block_bytes=1024) == Told(4, 2.0)

    def test_iperf3_says_what_went_wrong(self) -> None:
        with pytest.raises(UnreadableError, match="unable to connect"):
            printed.iperf3('{"end": {}, "error": "unable to connect"}', 1024)

    def test_own_clients_tell_their_processor_time(self) -> None:
        text = '{"messages": 7, "seconds": 0.5, "user_s": 0.25, "system_s": 0.125}\n'
        assert printed.own_client(text) == Told(7, 0.5, 0.25, 0.125)

    @pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
    @pytest.mark.parametrize("text", ["", "sorry\n"])
    def test_anything_else_is_no_figure(self, peer: Peer, text: str) -> None:
        with pytest.raises(UnreadableError):
            peer.told(text, Load(1, 1, 1.0, 1))


class TestClients:
    @pytest.mark.parametrize(
        "peer", [peer for peer in PEERS if not peer.note], ids=lambda peer: peer.name
    )
    def test_count_what_the_server_counts(self, place: Workshop, peer: Peer) -> None:
        told, served = exchange(place, peer)
        assert told.messages == served

    def test_locust_leaves_out_how_it_began_and_what_is_under_way(self, place: Workshop) -> None:
        told, served = exchange(
            place, next(peer for peer in PEERS if peer.name == "Locust by hand")
        )
        assert told.messages <= served


def exchange(place: Workshop, peer: Peer) -> tuple[Told, int]:
    """Return what the client says it did, and how many messages the server received."""
    if peer.missing:
        pytest.skip(missing_lines([peer])[0])
    with counting_server(place.echo, None) as (port, counts):
        load = Load(port, connections=3, seconds=0.2, messages=0)
        output, spent = place.run(peer.command(load), load.seconds)
        told = peer.told(output, load)
        assert told.seconds > 0.9 * load.seconds  # uvloop counts milliseconds
        assert told.messages > 0
        assert told.user_s is not None
        assert 0 <= told.user_s <= spent.user_s
        assert MIB < spent.peak_bytes < 200 * MIB
        return told, counts.messages


class TestProcesses:
    def test_are_accounted_for(self, place: Workshop) -> None:
        source = (
            "import time\nx = b'x' * 40_000_000\nwhile time.process_time() < 0.2: pass\nprint(7)"
        )
        output, spent = place.run([sys.executable, "-c", source], 1.0)
        assert output == "7\n"
        assert spent.user_s + spent.system_s >= 0.2
        assert 40_000_000 < spent.peak_bytes < 40_000_000 + 40 * MIB

    def test_do_not_inherit_the_peak_of_this_one(self, place: Workshop) -> None:
        _, spent = place.run(["true"], 1.0)
        assert spent.peak_bytes < 8 * MIB

    def test_that_fail_say_why(self, place: Workshop) -> None:
        source = "import sys; print('no luck', file=sys.stderr); sys.exit(3)"
        with pytest.raises(FailedError, match="ended with 3: no luck"):
            place.run([sys.executable, "-c", source], 1.0)

    def test_that_are_not_there_say_so(self, place: Workshop) -> None:
        with pytest.raises(FailedError, match="no-such-program: No such file"):
            place.run(["no-such-program"], 1.0)

    def test_a_server_that_ends_at_once_says_why(self, place: Workshop) -> None:
        source = "print('port taken'); raise SystemExit(1)"
        with (
            pytest.raises(FailedError, match="its server ended with 1: port taken"),
            place.serving([sys.executable, "-c", source], port=1),
        ):
            pass


def taken(per_s: float, peak_bytes: int = 10 * MIB) -> Taken:
    return Taken(Cost(per_s, user_us=1.0, system_us=9.0), peak_bytes, messages=round(per_s))


def one_round(peer: float, stamped: float, user_space: float, peak_bytes: int = 10 * MIB) -> Round:
    return {
        THE_PEER: taken(peer, peak_bytes),
        STAMPED: taken(stamped),
        USER_SPACE: taken(user_space),
    }


def peer_named(name: str, *needs: Need, note: str = "") -> Peer:
    return Peer(
        name,
        needs,
        serve=lambda _: nullcontext(1),
        command=lambda _: [],
        told=lambda *_: Told(1, 1.0),
        options=lambda *_: nullcontext([]),
        note=note,
    )


class TestTable:
    def test_has_rates_ratios_and_who_is_behind(self) -> None:
        rounds = [one_round(100, 80, 120), one_round(200, 100, 300), one_round(100, 90, 130)]
        found = Compared(peer_named("tool"), 100, rounds, alone=one_round(1, 1, 1))
        assert (
            "| tool | 100 | auto | 100 | 90 | 0.80 (0.50 to 0.90) "
            "| 130 | 1.30 (1.20 to 1.50) | behind when stamped |"
        ) in tables([found], is_markdown=True)

    @pytest.mark.parametrize(
        ("stamped", "user_space", "word"),
        [(90, 110, "behind when stamped"), (90, 99, "behind"), (100, 100, ""), (110, 90, "user")],
    )
    def test_says_as_which_loadgen_is_behind(
        self, stamped: float, user_space: float, word: str
    ) -> None:
        rounds = [one_round(100, stamped, user_space)]
        found = Compared(peer_named("tool"), 1, rounds)
        rates = tables([found], is_markdown=True)[3]
        assert word in rates.split("|")[-2]
        assert bool(word) == ("behind" in rates)

    def test_has_memory_for_each_connection_beyond_that_of_one(self) -> None:
        rounds = [one_round(1, 1, 1, peak_bytes=10 * MIB + 200 * 1024)]
        found = Compared(peer_named("tool"), 101, rounds, alone=one_round(1, 1, 1))
        assert (
            "| tool | 101 | auto | 1.0 + 9.0 | 1.0 + 9.0 | 1.0 + 9.0 | 10.2 | 10.0 | 2.0 | 0.0 |"
            in (tables([found], is_markdown=True))
        )

    def test_of_few_connections_says_nothing_of_each(self) -> None:
        few = Compared(peer_named("tool"), 8, [one_round(1, 1, 1)])
        assert few.bytes_per_connection(THE_PEER) is None

    def test_comes_with_each_note_once(self) -> None:
        peer = peer_named("tool", note="what it does")
        found = [Compared(peer, count, []) for count in (1, 2)]
        assert notes(found) == ["- tool: what it does."]


class TestAims:
    @pytest.mark.parametrize(("engine", "count"), [("auto", 2), ("native", 2), ("python", 0)])
    def test_are_those_of_the_peer_for_what_has_a_native_engine(
        self, engine: str, count: int
    ) -> None:
        peer = replace(peer_named("tool"), aims={100: (0.8, 1.3)})
        found = Compared(peer, 100, [one_round(100, 90, 120)], engine=engine)
        judgements = judged(found)
        assert [one.is_met for one in judgements] == [True, False][:count]
        lines = tables([found], is_markdown=True)
        missed = "| tool, connections: 100: loadgen, user space: at least 1.3 | 1.20 (1.20 to 1.20)"
        assert (f"{missed}: MISSED |" in lines) == bool(count)

    def test_of_another_number_of_connections_are_none(self) -> None:
        peer = replace(peer_named("tool"), aims={100: (0.8, 1.3)})
        assert judged(Compared(peer, 10, [one_round(100, 90, 120)])) == []


class TestNeeds:
    def test_that_are_missing_are_named_with_what_to_install(self) -> None:
        peer = peer_named("tool", Command("no-such", "no-such-deb"), Library("no_such_module"))
        (line,) = missing_lines([peer, peer_named("other")])
        assert line == (
            "tool: left out, for no-such and no_such_module is not installed "
            "(apt-get install no-such-deb and pip install no_such_module)"
        )

    def test_that_are_here_have_a_version_each_once(self) -> None:
        line = versions_line([peer_named("tool", Library("numpy"))] * 2)
        assert line.startswith("numpy ")
        assert line.count("numpy") == 1


class TestWords:
    def test_are_listed_with_what_each_is_for(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert bench_main([]) == 0
        listed = capsys.readouterr().out
        for word in MEASUREMENTS:
            assert f"\n  {word} " in listed

    def test_that_are_unknown_are_refused(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert bench_main(["speed"]) == 2
        assert "'speed' is no measurement; there are limit, " in capsys.readouterr().err

    @pytest.mark.parametrize("word", MEASUREMENTS)
    def test_hand_the_others_on(self, word: str, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as ended:
            bench_main([word, "--help"])
        assert ended.value.code == 0
        assert "usage: " in capsys.readouterr().out

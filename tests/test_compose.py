"""docker-compose.yml and Dockerfile, word by word, without Docker: see `containers`."""

import contextlib
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import images
import pytest
from command import ROOT
from composing import Service, Words, services, up
from containers import DEADLINE_S, Container, Network, skip_unless_permitted, wait_until
from distributions import files_in, installed_files

from loadgen.results.record import from_json

pytestmark = pytest.mark.timeout(400)  # seconds; Locust takes its time, and pip even more

MESSAGE_BYTES: Final = 64
IN_EVERY_SLIM_IMAGE: Final = {"grep", "python", "test"}


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    skip_unless_permitted(tmp_path)
    with Network("target", "master", "worker-1", "worker-2", "headless", "astray") as made:
        yield made


@pytest.fixture(scope="module")
def every() -> dict[str, Words]:
    return services()


class TestFile:
    def test_waits_for_health_only_where_it_is_checked(self, every: dict[str, Words]) -> None:
        waited_for = {
            (name, other)
            for name, words in every.items()
            for other, how in words.get("depends_on", {}).items()
            if how["condition"] == "service_healthy"
        }
        assert waited_for == {("master", "target"), ("worker", "master"), ("headless", "target")}
        for _, other in waited_for:
            kind, program, *_ = every[other]["healthcheck"]["test"]
            assert (kind, program in IN_EVERY_SLIM_IMAGE) == ("CMD", True)

    def test_publishes_the_web_ui_alone_and_to_this_machine_alone(
        self, every: dict[str, Words]
    ) -> None:
        published = {name: words["ports"] for name, words in every.items() if "ports" in words}
        assert published.keys() == {"master"}
        assert "127.0.0.1" in str(published)

    def test_has_an_init_and_a_rule_for_restarts_everywhere(self, every: dict[str, Words]) -> None:
        assert all(words["init"] for words in every.values())
        assert {name: words["restart"] for name, words in every.items()} == {
            "target": "on-failure",
            "master": "on-failure",
            "worker": "unless-stopped",
            "headless": "no",
        }

    def test_lets_no_service_write_to_its_image_nor_have_privileges(
        self, every: dict[str, Words]
    ) -> None:
        for words in every.values():
            assert words["read_only"] is True
            assert words["cap_drop"] == ["ALL"]
            assert words["security_opt"] == ["no-new-privileges:true"]
            assert "/tmp" in words["tmpfs"]
            assert not words.keys() & {"cap_add", "privileged"}

    def test_keeps_what_is_no_source_out_of_the_image(self) -> None:
        for path in (".git/HEAD", ".venv/bin/python", "tests/fakes/images.py", "bench/README.md"):
            assert images.is_ignored(path)
        assert images.is_ignored("loadgen/engine/__pycache__/engine.cpython-311.pyc")
        assert images.is_ignored("loadgen/engine/_native.abi3.so")
        schema = "loadgen/results/record.schema.json"
        assert (ROOT / schema).is_file()
        assert not images.is_ignored(schema)


def test_the_compiler_is_in_no_stage_but_the_one_that_builds() -> None:
    every = images.stages()
    compiling = [name for name, steps in every.items() if any("gcc" in step.rest for step in steps)]
    assert compiling == ["build"]
    copied = [rest for word, rest in every[""] if word == "COPY" and "--from=" in rest]
    assert copied == ["--from=build /opt/loadgen /opt/loadgen"]


class Master:
    """The master's web UI, as its own page uses it."""

    def __init__(self, network: Network) -> None:
        self._network = network

    def get(self, path: str) -> Any:
        return json.loads(self._network.ask("master", 8089, path))

    def post(self, path: str, form: str) -> None:
        answer = json.loads(self._network.ask("master", 8089, path, form))
        assert answer["success"], answer

    def wait_for(self, state: str, requests: int = 0) -> dict[str, Any]:
        """Return the tables once the test is in ``state``, and has made so many requests."""
        seen: list[dict[str, Any]] = []

        def is_there() -> bool:
            seen[:] = [self.get("/stats/requests")]
            return bool(seen[0]["state"] == state and total(seen[0])["num_requests"] >= requests)

        wait_until(is_there, tell=lambda: seen)
        return seen[0]


def total(tables: dict[str, Any]) -> dict[str, Any]:
    """Return the last line of the table, which is the sum of the others."""
    last: dict[str, Any] = tables["stats"][-1]
    assert last["name"] == "Aggregated"
    return last


def connections_by_address(target: Service) -> Counter[str]:
    """Return how many connections the target has, by whom they come from."""
    every = target.container.run("ss", "-Htn", "state", "established", "sport = :9999")
    peers = (line.split()[3] for line in every.splitlines())
    return Counter(peer.removeprefix("[::ffff:").rpartition(":")[0] for peer in peers)


def counts_of(target: Service) -> dict[str, int]:
    """Stop the target, and return what it has counted."""
    assert target.stop() == 0
    counts: dict[str, int] = json.loads(target.container.log.splitlines()[-1])
    return counts


def test_users_are_spread_over_workers_and_the_target_confirms_the_sum(
    every: dict[str, Words], network: Network, tmp_path: Path
) -> None:
    with contextlib.ExitStack() as stack:

        def start(service: str, name: str) -> Service:
            return stack.enter_context(up(every[service], name, network, tmp_path))

        target = start("target", "target")
        target.wait_until_healthy()
        master = start("master", "master")
        master.wait_until_healthy()
        workers = [start("worker", name) for name in ("worker-1", "worker-2")]
        for worker in workers:
            worker.wait_until_healthy()
        web_ui = Master(network)
        wait_until(lambda: len(web_ui.get("/stats/requests")["workers"]) == 2)

        web_ui.post("/swarm", "user_count=10&spawn_rate=10&host=tcp://target:9999")
        tables = web_ui.wait_for("running", requests=1000)
        assert [worker["user_count"] for worker in tables["workers"]] == [5, 5]
        addresses = [network.address_of[name] for name in ("worker-1", "worker-2")]
        assert connections_by_address(target) == dict.fromkeys(addresses, 5)

        web_ui.post("/stop", "")
        requests = total(web_ui.wait_for("stopped"))
        (echo,) = web_ui.get("/loadgen/overview.json")["user_classes"]
        shares = {worker["name"]: worker["messages"] for worker in echo["workers"]}
        assert len(shares) == 2
        assert min(shares.values()) > 0
        assert (requests["num_requests"], requests["num_failures"]) == (sum(shares.values()), 0)

        assert master.stop() == 0
        assert [worker.process.wait(DEADLINE_S) for worker in workers] == [0, 0]
        size_bytes = requests["num_requests"] * MESSAGE_BYTES
        assert counts_of(target) == {
            "accepted": 10,
            "closed": 10,
            "bytes_received": size_bytes,
            "bytes_sent": size_bytes,
        }


def test_the_headless_run_leaves_a_record_and_ends_with_the_code_of_locust(
    network: Network, tmp_path: Path
) -> None:
    short = {"LOADGEN_RUN_TIME": "2s", "LOADGEN_USERS": "6", "LOADGEN_WORKERS": "2"}
    every = services(**short)
    astray = services(**short, LOADGEN_TARGET="tcp://target:1")["headless"]
    with up(every["target"], "target", network, tmp_path) as target:
        target.wait_until_healthy()
        assert not target.container.succeeds("touch", "/home/loadgen/it", setting=target.setting)
        assert target.container.succeeds("touch", "/tmp/it", setting=target.setting)
        status = target.container.run("cat", "/proc/self/status", setting=target.setting)
        assert "CapBnd:\t0000000000000000\nCapAmb" in status
        assert "NoNewPrivs:\t1\n" in status
        with (
            up(every["headless"], "headless", network, tmp_path) as headless,
            up(astray, "astray", network, tmp_path) as failing,
        ):
            assert headless.process.wait(DEADLINE_S) == 0, headless.container.log
            assert failing.process.wait(DEADLINE_S) == 1, failing.container.log
            assert "connect: connection refused" in failing.container.log
            records = headless.container.path("/records")
            assert (records / "locust.html").stat().st_size > 0
            record = from_json((records / "run.json").read_bytes())
        counts = counts_of(target)
    assert [worker.connections for worker in record.workers] == [3, 3]
    assert record.actual.messages == sum(worker.messages for worker in record.workers)
    assert record.actual.messages * MESSAGE_BYTES == counts["bytes_received"]


@pytest.mark.image
def test_the_steps_of_the_dockerfile_make_what_the_services_run_on(tmp_path: Path) -> None:
    skip_unless_permitted(tmp_path)
    images.skip_unlike_the_base_image()
    stages = images.stages()
    with Container("build", tmp_path) as before, Container("image", tmp_path) as image:
        images.skip_unless_online(lambda: images.build(stages["build"], before, {}))
        setting = images.build(stages[""], image, {"build": before.path("/")})
        assert setting.user != "root"
        (installed,) = image.path("/opt/loadgen/lib").glob("python3.*/site-packages")
        assert files_in(installed, "loadgen") == installed_files(ROOT, "loadgen")
        image.run("python", "-c", "import loadgen.engine._native", setting=setting)
        assert not (installed / "pip").exists()
        listed = image.run("locust", "-f", "bench/locustfile.py", "--list", setting=setting)
        assert "Echo" in listed
        assert image.succeeds("loadgen", "-c", "2", "-n", "5", "--quiet", setting=setting)
        assert image.succeeds("touch", "/records/run.json", setting=setting)
        assert not image.succeeds("touch", "/srv/bench/locustfile.py", setting=setting)

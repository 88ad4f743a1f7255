"""`loadgen compare --run` that is told to end takes all with it that it has begun."""

import shlex
import signal
import tempfile
from pathlib import Path

import pytest
from command import ended, running
from lingering import Lingering

QUICK = "sh -c 'echo {} > \"$0\"' {out}"


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)],
    ids=["^C", "SIGTERM", "SIGHUP"],
)
@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("kind", ["a child", "a daemon"])
def test_it_ends_the_commands_and_keeps_what_there_is(
    tmp_path: Path, kind: str, times: int, number: signal.Signals, code: int
) -> None:
    kept = tmp_path / "kept"
    with Lingering() as lingering:
        # A shell that stays beside its background process, so that both must be ended.
        lasting = lingering.as_daemon if kind == "a daemon" else lingering.words
        stays = f"{shlex.join(lasting)} & sleep 40 & wait"
        endless = f"sh -c {shlex.quote(stays)} {{out}}"
        words = ("compare", "--run", QUICK, "--run", endless, "--keep", str(kept))
        with running(*words) as process:
            lingering.await_start()
            for _ in range(times):
                process.send_signal(number)
            result = ended(process)
        lingering.check_gone()
    assert result.code == code
    assert (kept / "A" / "0001.json").exists()


def test_the_folder_that_nobody_keeps_goes_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    with Lingering() as lingering:
        endless = shlex.join(lingering.words) + " {out}"
        with running("compare", "--run", QUICK, "--run", endless) as process:
            lingering.await_start()
            assert list(tmp_path.iterdir())
            process.send_signal(signal.SIGTERM)
            ended(process)
        lingering.check_gone()
    assert list(tmp_path.iterdir()) == []

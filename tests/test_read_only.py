"""A container with a read-only root and no home, as a pod with readOnlyRootFilesystem.

A mount namespace of its own makes the root read-only (mount_namespaces(7)); in a user namespace it
needs no privileges (user_namespaces(7)).
"""

import subprocess
from pathlib import Path

import pytest
from command import LOADGEN, TIMEOUT_S, Ended, environment

from loadgen.results.record import from_json

SMALL = ("-c", "2", "-n", "20")

# The one writable folder is $0; a file that is mounted by itself is $0/../alone.json.
SCRIPT = """
set -e
mount --bind "$0" "$0"
mount --bind "$0/../writable.json" "$0/../alone.json"
mount -o remount,ro,bind /
cd /
exec "$@"
"""


def namespace() -> list[str]:
    """Return the command that makes a mount namespace; empty where that is not permitted."""
    for options in (["--mount"], ["--mount", "--map-root-user"]):
        command = ["unshare", *options]
        try_it = [*command, "bash", "-c", "mount -o remount,ro,bind /"]
        try:
            if subprocess.run(try_it, capture_output=True, check=False).returncode == 0:
                return command
        except OSError:  # there is no unshare
            break
    return []


NAMESPACE = namespace()

pytestmark = pytest.mark.skipif(
    not NAMESPACE, reason="neither root nor a user namespace may make a mount namespace here"
)


@pytest.fixture
def writable(tmp_path: Path) -> Path:
    """The folder that stays writable."""
    (tmp_path / "writable").mkdir()
    (tmp_path / "alone.json").touch()
    (tmp_path / "writable.json").touch()
    return tmp_path / "writable"


def confined(writable: Path, *arguments: str, **extra: str) -> Ended:
    """Run ``loadgen`` where only the folder ``writable`` can be written to."""
    variables = environment(HOME="/nonexistent")
    for name in ("TMPDIR", "TEMP", "TMP", "MPLCONFIGDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        variables.pop(name, None)
    done = subprocess.run(
        [*NAMESPACE, "bash", "-c", SCRIPT, str(writable), *LOADGEN, *arguments],
        env={**variables, **extra},
        capture_output=True,
        timeout=4 * TIMEOUT_S,  # what draws lists all fonts, in a folder that is new each time
        check=False,
    )
    return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())


def test_the_embedded_server_needs_no_folder(writable: Path) -> None:
    done = confined(writable, *SMALL, "--json", "-")
    assert done.code == 0, done.stderr
    assert done.record.target.server is not None
    assert done.record.target.server["bytes_received"] == 2 * 20 * 64


@pytest.mark.parametrize(
    "words",
    [(*SMALL, "--report", "{out}"), ("report", "{out}/run.json", "-o", "{out}/page")],
    ids=["--report", "report"],
)
def test_what_draws_says_which_folder_it_lacks_before_the_load(
    words: tuple[str, ...], writable: Path
) -> None:
    done = confined(writable, *(word.format(out=writable) for word in words))
    assert (done.code, done.stdout) == (2, "")
    [line] = done.stderr.splitlines()
    assert "report draws with matplotlib, which finds no folder" in line
    assert "MPLCONFIGDIR" in line
    assert "TMPDIR" in line
    assert list(writable.iterdir()) == []


@pytest.mark.parametrize("variable", ["MPLCONFIGDIR", "TMPDIR"])
def test_either_variable_helps_what_draws(variable: str, writable: Path) -> None:
    more = {variable: str(writable)}
    done = confined(writable, *SMALL, "--report", str(writable / "page"), **more)
    assert (done.code, done.stderr) == (0, "")
    assert (writable / "page" / "index.html").is_file()


def test_commands_in_turn_say_what_they_lack(writable: Path) -> None:
    done = confined(writable, "compare", "--run", "true {out}", "--run", "true {out}")
    assert (done.code, done.stdout) == (2, "")
    [line] = done.stderr.splitlines()
    assert "--run: the records need a folder for temporary files: No usable" in line
    assert "TMPDIR" in line
    assert "--keep" in line


@pytest.mark.parametrize("variable", ["", "TMPDIR"], ids=["--keep", "TMPDIR"])
def test_commands_in_turn_need_no_folder_but_the_one_named(variable: str, writable: Path) -> None:
    for name in "ab":
        assert confined(writable, *SMALL, "--json", f"{writable}/{name}.json").code == 0
    commands = (word for name in "ab" for word in ("--run", f"cp {writable}/{name}.json {{out}}"))
    words = ("compare", "--rounds", "1", "--force", *commands)
    named = () if variable else ("--keep", f"{writable}/kept")
    done = confined(writable, *words, *named, **({variable: str(writable)} if variable else {}))
    assert done.code == 0, done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((*SMALL, "--json", "/run.json"), "loadgen: --json /run.json: it cannot be written: "),
        ((*SMALL, "--report", "/page"), "loadgen: --report /page: nothing can be written there: "),
        (("server", "--ready-file", "/ready"), "loadgen server: --ready-file /ready: it cannot "),
        (("server", "--ledger", "/ledger"), "loadgen server: --ledger /ledger: it cannot "),
        (
            ("compare", "--keep", "/kept", "--run", "true {out}", "--run", "true {out}"),
            "loadgen compare: --keep /kept: ",
        ),
    ],
    ids=["--json", "--report", "--ready-file", "--ledger", "--keep"],
)
def test_an_output_there_is_refused_before_the_load(
    words: tuple[str, ...], said: str, writable: Path
) -> None:
    done = confined(writable, *words)
    assert (done.code, done.stdout) == (2, "")
    [line] = done.stderr.splitlines()
    assert line.startswith(said)
    assert "Read-only file system" in line


def test_a_file_that_is_mounted_by_itself_is_written_to(writable: Path) -> None:
    done = confined(writable, *SMALL, "--json", str(writable.parent / "alone.json"))
    assert (done.code, done.stderr) == (0, "")
    assert from_json((writable.parent / "writable.json").read_bytes()).actual.messages == 40

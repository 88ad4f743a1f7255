"""What loadgen is measured with: C programs, built by ``cc`` on the spot, and a core for each."""

import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from loadgen import RunRecord, from_json
from loadgen.runner import environment

SOURCE = Path(__file__).parent / "native" / "echo.c"
ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Shape:
    """What one measurement looks like. Where there is a ``payload``, the size does not count."""

    connections: int
    pipeline: int = 1
    size_bytes: int = 64
    duration_s: float = 2.0
    payload: str = ""


class UnavailableError(Exception):
    """This machine cannot take the measurement; the text says why."""


@contextmanager
def built(
    source: Path = SOURCE, *others: Path, flags: Sequence[str] = (), name: str = ""
) -> Iterator[Path]:
    """Yield the path of what the sources are compiled to: ``name``, or that of the first.

    Raises UnavailableError without a C compiler.
    """
    compiler = shutil.which("cc")
    if compiler is None:
        raise UnavailableError(
            "there is no C compiler `cc` on this machine (Debian: apt-get install gcc)"
        )
    with tempfile.TemporaryDirectory(prefix="loadgen-bench-") as directory:
        program = Path(directory) / (name or source.stem)
        subprocess.run(
            [compiler, "-O2", "-Wall", *flags, "-o", program, source, *others], check=True
        )
        yield program


def start_on(
    core: int | None, command: Sequence[str | Path], directory: Path = ROOT
) -> subprocess.Popen[str]:
    """Start ``command`` with its output in a pipe, and keep it on ``core`` if there is a choice."""
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=directory
    )
    if core is not None:
        os.sched_setaffinity(process.pid, {core})
    return process


def two_cores() -> tuple[int | None, int | None]:
    """Return a core for the client and one for the server; (None, None) if there is one only."""
    if not hasattr(os, "sched_getaffinity"):
        return None, None
    cores = sorted(os.sched_getaffinity(0))
    return (cores[0], cores[1]) if len(cores) > 1 else (None, None)


def heading() -> str:
    """Return a line that says what was measured on, and where client and server ran."""
    facts = environment.observe()
    client_core, server_core = two_cores()
    pinning = (
        "client and server not pinned"
        if client_core is None
        else f"client on core {client_core}, server on core {server_core}"
    )
    return (
        f"{facts.cpu}, {facts.cpus_usable} cores, {facts.system} {facts.kernel.partition('-')[0]}, "
        f"{facts.python}; {pinning}"
    )


def print_title(text: str, columns: str) -> None:
    """Print what stands above a table."""
    print(f"\n{text}\n\n{columns}", flush=True)


@contextmanager
def server(
    program: Path, core: int | None, backlog: int = 1024, counts: Path | None = None
) -> Iterator[int]:
    """Run the C server on ``core`` and yield its port; it keeps ``counts``, if there is such."""
    options = [str(backlog)] if counts is None else [str(backlog), str(counts)]
    with start_on(core, [program, "server", *options]) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline().split()[1])
        finally:
            process.terminate()


class Cost(NamedTuple):
    """A rate, and the processor time that a message takes, in user code and in the kernel."""

    messages_per_s: float
    user_us: float
    system_us: float

    def __str__(self) -> str:
        return (
            f"{self.messages_per_s:11,.0f}/s, "
            f"{self.user_us:.2f} us user + {self.system_us:.2f} us system"
        )


def c_client(program: Path, port: int, core: int | None, shape: Shape) -> Cost:
    """Run the C client for one round."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    numbers = (port, shape.connections, shape.size_bytes, shape.pipeline, shape.duration_s)
    words = output_of(core, [program, "client", *map(str, numbers)]).split()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    messages, seconds = int(words[1]), float(words[3])
    return Cost(
        messages_per_s=messages / seconds,
        user_us=(after.ru_utime - before.ru_utime) / messages * 1e6,
        system_us=(after.ru_stime - before.ru_stime) / messages * 1e6,
    )


def cost_of(record: RunRecord) -> Cost:
    """Return what a message cost loadgen in the run of ``record``.

    Raises UnavailableError where none was answered.
    """
    actual = record.actual
    if not actual.messages:
        raise UnavailableError("no message was answered within the run: make it longer")
    return Cost(
        messages_per_s=actual.messages_per_s,
        user_us=actual.cpu_user_s / actual.messages * 1e6,
        system_us=actual.cpu_system_s / actual.messages * 1e6,
    )


def loadgen(
    port: int,
    core: int | None,
    shape: Shape,
    arguments: tuple[str, ...] = (),
    checkout: Path = ROOT,
) -> RunRecord:
    """Run loadgen, the one in ``checkout``, as its users do, for one round."""
    command = [sys.executable, "-m", "loadgen", f"127.0.0.1:{port}", "--json", "-", "--quiet"]
    command += ["--payload", shape.payload] if shape.payload else ["--size", str(shape.size_bytes)]
    command += ["-c", str(shape.connections)]
    command += ["--pipeline", str(shape.pipeline), "-d", f"{shape.duration_s}s", *arguments]
    return from_json(output_of(core, command, checkout).encode())


def output_of(core: int | None, command: Sequence[str | Path], directory: Path = ROOT) -> str:
    """Return what ``command`` prints, run on ``core``. Raises UnavailableError where it fails."""
    with start_on(core, command, directory) as process:
        output, _ = process.communicate()
    if process.returncode:
        raise UnavailableError(f"{' '.join(map(str, command))} ended with {process.returncode}")
    return output

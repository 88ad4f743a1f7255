"""The embedded server for a plan that names no target, and what the plan has to trust then."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec

from loadgen.errors import UsageError
from loadgen.plan import Plan
from loadgen.server.embedded import EmbeddedServer
from loadgen.text import escaped


@contextlib.contextmanager
def serving(plan: Plan) -> Iterator[tuple[EmbeddedServer, Plan]]:
    """Start the server that ``plan`` needs, for as long as the ``with`` lasts.

    Yields it, and the plan, which trusts its certificate where TLS is spoken. Raises LoadgenError
    if it does not start, UsageError for files that do not belong to it.
    """
    if not plan.is_secure:
        with EmbeddedServer() as server:
            yield server, plan
        return
    if plan.ca_file is not None:
        raise UsageError("--cacert: the embedded server makes its own certificate; leave it out")
    with tempfile.TemporaryDirectory(prefix="loadgen-tls-") as place:
        ca_file = Path(place) / "ca.pem"
        with EmbeddedServer(("--tls", "--tls-write-ca", str(ca_file))) as server:
            trusted = None if plan.insecure else escaped(str(ca_file))
            yield server, msgspec.structs.replace(plan, ca_file=trusted)

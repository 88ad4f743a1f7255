"""Who says when a reply arrived, in this run: the kernel, where it can, or else this process."""

import contextlib
import socket
from collections.abc import Iterator

from loadgen.errors import LocalLimitError, UsageError
from loadgen.net import timestamps
from loadgen.net.clock import Clock
from loadgen.net.dialer import Endpoint
from loadgen.net.protocols import UntilEof
from loadgen.plan.plan import Plan


@contextlib.contextmanager
def kernel_timestamps(plan: Plan, endpoint: Endpoint, wall_clock: Clock) -> Iterator[str]:
    """Keep the kernel stamping for as long as the ``with`` lasts, if ``plan`` wants it to.

    Yields "" where it does, and otherwise the reason why it does not. Raises UsageError or
    LocalLimitError if the plan insists on what cannot be had.
    """
    reason = _obstacle(plan, endpoint)
    if plan.timestamps == "user":
        reason = "as --timestamps user asks"
    elif plan.timestamps == "kernel" and reason:
        raise UsageError(f"--timestamps kernel: {reason}; use auto or user")
    with contextlib.ExitStack() as stack:
        if not reason:
            try:
                stack.enter_context(timestamps.keeper(wall_clock))
            except timestamps.NoStampsError as error:
                reason = str(error)
                if plan.timestamps == "kernel":
                    raise LocalLimitError(
                        f"--timestamps kernel: {reason}; use auto or user"
                    ) from error
        yield reason


def _obstacle(plan: Plan, endpoint: Endpoint) -> str:
    reply = plan.framing()
    if endpoint.family == getattr(socket, "AF_UNIX", None):
        return "UNIX sockets have none"
    if reply.one_way:
        return "there are no replies"
    if isinstance(reply, UntilEof):
        return "the end of a stream, with which a reply is whole, has none"
    return ""

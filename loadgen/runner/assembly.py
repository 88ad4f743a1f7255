"""Makes of a Plan the engine and the load model that carry it out."""

import contextlib
import functools
from collections.abc import Iterator
from typing import Final

from loadgen.engine.choice import Choice
from loadgen.engine.datagrams import DatagramChannel
from loadgen.engine.driver import PythonDriver
from loadgen.engine.engine import Engine
from loadgen.engine.group import Group, NewChannel, new_native_stream, new_stream
from loadgen.engine.load_models import (
    ClosedLoop,
    LoadModel,
    OpenLoop,
    Thinking,
    WarmUp,
)
from loadgen.engine.native_datagrams import NativeDatagramChannel, NativeDatagrams
from loadgen.engine.native_driver import NativeDriver
from loadgen.engine.recorder import Recorder
from loadgen.engine.slots import Slots
from loadgen.engine.timeouts import ConnectionPolicy
from loadgen.errors import LocalLimitError, UsageError
from loadgen.net import backends, timestamps
from loadgen.net.address import Endpoint
from loadgen.net.clock import NEVER_NS, Clock
from loadgen.net.dialer import EndpointDialer
from loadgen.net.udp import UdpDialer
from loadgen.plan import Plan
from loadgen.plan.applications.datagrams import SEQUENCE
from loadgen.plan.arrivals import Arrivals
from loadgen.plan.think_time import ThinkTime
from loadgen.units import NS_PER_S, seconds_to_ns

# On a UNIX socket a connect succeeds at once, or fails because the backlog is full (connect(2),
# EAGAIN): it is never in progress, so only a rate gives the server time to accept.
_UNIX_CONNECT_RATE_PER_S: Final = 10_000


def assemble(
    plan: Plan,
    choice: Choice,
    dialer: EndpointDialer,
    recorder: Recorder,
    clock: Clock,
    model: LoadModel | None = None,
) -> Engine:
    """Return an engine for ``plan``, with a selector of its own and without connections.

    model: the load model; that of the plan unless it is given.
    """
    driver: PythonDriver
    new_channel: NewChannel = new_stream
    is_native = choice.engine == "native"
    if is_native and not isinstance(dialer, UdpDialer):
        slots = Slots()
        driver = NativeDriver(choice.backend, slots, plan.pacing, recorder.pauses)
        new_channel = functools.partial(new_native_stream, slots)
    else:
        # Datagrams need no slots: in both engines their channels exchange them, window by window.
        selector = backends.open_selector(choice.backend)
        driver = PythonDriver(selector, clock, plan.pacing, recorder.pauses)
    if isinstance(dialer, UdpDialer):
        new_channel = _new_datagrams(plan, dialer, is_native=is_native)
    group = Group(dialer, model or _model_of(plan, clock), new_channel=new_channel)
    return Engine(driver, [group], recorder, clock, _policy_of(plan, dialer.endpoint))


def _new_datagrams(plan: Plan, dialer: UdpDialer, *, is_native: bool) -> NewChannel:
    numbered = plan.reply == SEQUENCE
    if not is_native:
        return functools.partial(DatagramChannel, numbered=numbered)
    native = NativeDatagrams(dialer.stamp_every, numbered=numbered)
    return functools.partial(NativeDatagramChannel, native=native)


def _policy_of(plan: Plan, endpoint: Endpoint) -> ConnectionPolicy:
    rate = plan.connect_rate_per_s
    if rate is None and endpoint.is_unix:
        rate = _UNIX_CONNECT_RATE_PER_S
    return ConnectionPolicy(
        connect_interval_ns=0 if rate is None else round(NS_PER_S / rate),
        connect_timeout_ns=seconds_to_ns(plan.connect_timeout_s),
        handshake_timeout_ns=seconds_to_ns(plan.handshake_timeout_s),
        io_timeout_ns=seconds_to_ns(plan.io_timeout_s),
        reply_timeout_ns=NEVER_NS
        if plan.reply_timeout_s is None
        else seconds_to_ns(plan.reply_timeout_s),
        reconnect=plan.reconnect,
    )


def _model_of(plan: Plan, clock: Clock) -> LoadModel:
    profile = plan.profile_with_warmup()
    if profile is not None:
        arrivals = Arrivals(profile, plan.arrivals, plan.seed)
        begin_ns = seconds_to_ns(plan.warmup_s)
        warm_up = WarmUp(begin_ns, arrivals.until(begin_ns)) if begin_ns else None
        end_ns = begin_ns + seconds_to_ns(plan.duration_s) if plan.duration_s else None
        return OpenLoop(arrivals.until(end_ns), clock, warm_up)
    if plan.think is not None:
        draws = ThinkTime.parse(plan.think).draws(plan.seed)
        return Thinking(lambda _: next(draws), clock)
    return ClosedLoop()


@contextlib.contextmanager
def kernel_timestamps(plan: Plan, endpoint: Endpoint, wall_clock: Clock) -> Iterator[str]:
    """Keep kernel timestamps enabled during the ``with``, if ``plan`` wants them.

    Yields "" if they are enabled, and otherwise the reason. Raises UsageError or LocalLimitError if
    the plan requires kernel timestamps, and they are not available.
    """
    reason = _obstacle(plan, endpoint)
    if plan.timestamps == "user":
        reason = "as --timestamps user asks"
    elif plan.timestamps == "kernel" and reason:
        raise UsageError(f"--timestamps kernel: {reason}; use auto or user")
    with contextlib.ExitStack() as stack:
        if not reason:
            try:
                stack.enter_context(timestamps.keep_stamping(wall_clock))
            except timestamps.NoStampsError as error:
                reason = str(error)
                if plan.timestamps == "kernel":
                    raise LocalLimitError(
                        f"--timestamps kernel: {reason}; use auto or user"
                    ) from error
        yield reason


def _obstacle(plan: Plan, endpoint: Endpoint) -> str:
    if endpoint.is_unix:
        return "UNIX sockets have none"
    if plan.framing().one_way:
        return "there are no replies"
    return ""

"""The fields of a Plan that say which commands are sent to Redis."""

from typing import Annotated, Final

import msgspec

from loadgen.plan.http import HttpRequests
from loadgen.plan.kinds import YES, text
from loadgen.plan.messages import MESSAGE
from loadgen.plan.options import DECLARED, EVERYWHERE, Group, Option
from loadgen.plan.payloads import RedactedPayload
from loadgen.quantities import MOST_PAYLOADS, Text

REDIS: Final = Group("Redis", "how to speak to Redis")

Commands = Annotated[tuple[Text | RedactedPayload, ...], msgspec.Meta(max_length=MOST_PAYLOADS)]


class RedisCommands(HttpRequests, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Commands of Redis."""

    commands: Annotated[
        Commands,
        MESSAGE,
        Option(
            "--command",
            text("COMMAND"),
            "a command of Redis, quoted as redis-cli takes it: 'SET key \"\\x00 value\"'",
            default_note="of redis:// without a payload, PING",
            place=EVERYWHERE,
        ),
        DECLARED,
    ] = ()
    resp3: Annotated[
        bool,
        REDIS,
        Option("--resp3/-3", YES, "speak RESP3 to Redis (HELLO 3)"),
    ] = False

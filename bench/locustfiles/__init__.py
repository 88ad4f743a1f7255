"""One locustfile for each way to load an echo server with Locust; `bench.locust_compare` runs them.

locust -f bench/locustfiles/by_hand.py --host tcp://127.0.0.1:9999
"""

from typing import Final

MESSAGE: Final = bytes(64)
"""What every user sends, and waits to have back."""

NAME: Final = "echo"
"""What Locust lists it as."""

LAG_OPTION: Final = "--lag-json"
"""See `bench.locustfiles.lag`."""

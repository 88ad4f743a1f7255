"""A user with a script: each request waits for its reply, and is a task of its own."""

from locust import task

from bench.locustfiles import MESSAGE, NAME, lag
from loadgen.locust import ScriptedSocketUser

lag.watch()


class Scripted(ScriptedSocketUser):
    """One connection; a request a task."""

    @task
    def echo(self) -> None:
        """Send a message and wait for all of it to come back."""
        self.client.request(MESSAGE, name=NAME)

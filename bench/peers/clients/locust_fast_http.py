"""Locust's FastHttpUser, which is connected when it has had its first response."""

from locust import FastHttpUser, task

from bench.peers.clients.locust_run import run


class Fast(FastHttpUser):
    """One connection; a request a task."""

    connected = 0

    def on_start(self) -> None:
        """Connect."""
        self.client.get("/")
        Fast.connected += 1

    @task
    def get(self) -> None:
        """Request the page."""
        self.client.get("/")


if __name__ == "__main__":
    run(Fast, "http")

"""Loadgen's page in Locust's web UI, and what its forms may set."""

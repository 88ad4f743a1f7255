"""Loadgen's page in Locust's web UI, and the checks of that UI's forms."""

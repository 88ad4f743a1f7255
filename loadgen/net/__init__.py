"""Sockets, addresses, clocks, selectors, kernel timestamps, and what a failure is."""

"""Sockets, addresses, clocks, selectors and kernel timestamps; what a failure is. Knows no plan."""

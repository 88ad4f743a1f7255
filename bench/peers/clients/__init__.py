"""Closed-loop echo clients as people write them, one for each way to do it in Python.

Each is a program, ``python -m bench.peers.clients.NAME PORT CONNECTIONS SECONDS``: it opens its
connections, keeps one message of 64 bytes in flight on each for that long, waits for the last
replies, and prints a line of JSON: messages, seconds, and the processor time of those seconds.
They import nothing that they do not need: their memory is compared, too.
"""

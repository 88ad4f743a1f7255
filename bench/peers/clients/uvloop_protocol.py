"""The asyncio protocol on uvloop, an event loop in C."""

import uvloop

from bench.peers.clients.asyncio_protocol import main

if __name__ == "__main__":
    uvloop.run(main())

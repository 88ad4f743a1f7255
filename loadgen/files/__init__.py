"""Files and standard streams: read whole, written whole, as JSON and MessagePack."""

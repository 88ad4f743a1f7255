"""The load core: connections, the loop that drives them, and the record of what happened."""

"""One selector, many connections, and the recorder that they fill."""

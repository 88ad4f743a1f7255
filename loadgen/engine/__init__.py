"""The event loop: connections on one selector, their load models, and what records them."""

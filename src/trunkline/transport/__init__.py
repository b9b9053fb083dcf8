"""The upstream HTTP client, and nothing above it that knows how it works."""

from trunkline.transport.client import Client, Incoming, Timeouts

__all__ = ["Client", "Incoming", "Timeouts"]

"""The Responses API as an engine, free of HTTP, of routing and of money."""

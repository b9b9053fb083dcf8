"""Tools that are run here for a model: those of remote MCP servers."""

from trunkline.tools.mcp import Limits, Result, Server, Session, Tool, connect, told

__all__ = ["Limits", "Result", "Server", "Session", "Tool", "connect", "told"]

"""Trunkline: a self-hosted inference-provider router with an embedded engine."""

__version__ = "0.1.0"

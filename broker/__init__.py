"""Leveret's broker: the routing core, the server around it, configuration and command line."""

__version__ = "0.1.0"

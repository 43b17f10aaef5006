"""The operator's command line and the socket that it talks to.

``server`` and ``actions`` run in the broker; all else is the command, which imports nothing but the standard library's
light parts: a health check runs every few seconds, and must cost next to nothing.
"""

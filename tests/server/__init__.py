"""The asyncio shell around the core: connections, time, start and stop."""

"""Random scripts run against two brokers side by side: whatever they do differently is shrunk and shown."""

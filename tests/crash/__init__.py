"""The broker killed, stopped and started again: what it promised is still there."""

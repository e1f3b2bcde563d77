"""The HTTP side: the receiver, health, metrics."""

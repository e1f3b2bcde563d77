"""One file a correlation type."""

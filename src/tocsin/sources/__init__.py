"""Where events come from: bytes in, batches of events out."""

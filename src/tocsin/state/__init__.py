"""What must outlive a batch: windows, episodes, positions, outbox, silences; in memory and on Redis."""

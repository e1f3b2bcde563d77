"""Facts about each provider: its event codes and where its records keep what."""

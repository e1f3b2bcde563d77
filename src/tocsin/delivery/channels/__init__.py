"""One channel a file, its config beside its send()."""

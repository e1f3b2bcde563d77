"""Rule files in, compiled rules out."""

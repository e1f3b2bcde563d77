"""What is valid and surely not meant: a warning and a way out for each."""

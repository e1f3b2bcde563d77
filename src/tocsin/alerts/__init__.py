"""What to tell whom: pure, except reading templates."""

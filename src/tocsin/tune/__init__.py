"""Rules on past events: replay, rule tests."""

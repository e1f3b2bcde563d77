"""tocsin: Sigma rules, live, on identity logs."""

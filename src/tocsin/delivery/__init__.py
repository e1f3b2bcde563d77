"""Getting notifications out: the worker, and one channel a file."""

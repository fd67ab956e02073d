"""Detection measured: fresh deployments, real attacks, many honest sessions, unchanged defaults."""

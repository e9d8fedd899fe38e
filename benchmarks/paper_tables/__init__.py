"""MergeGuard's tables 1 to 5 on any family of fine-tunes: `python -m benchmarks.paper_tables`."""

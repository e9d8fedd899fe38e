"""The vision family: one small base, one fine-tune per task, all with the same classifier."""

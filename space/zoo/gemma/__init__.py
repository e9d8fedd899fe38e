"""The roles, data and tasks of the language family in a second architecture, Gemma2."""

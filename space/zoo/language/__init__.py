"""Small language models that were really trained: a base, a defender (math) and two partners (code, style)."""

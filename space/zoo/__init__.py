"""Small models that were really trained, with the scripts that train them again."""

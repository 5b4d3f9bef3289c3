"""Measures semq beside its peers. Started by scripts/bench."""

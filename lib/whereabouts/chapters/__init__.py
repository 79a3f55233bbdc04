"""The tables and claims of each paper."""

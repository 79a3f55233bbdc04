"""Attention Gated Networks (Schlemper et al. 2019): tables of scans and of planes, claims, figures."""

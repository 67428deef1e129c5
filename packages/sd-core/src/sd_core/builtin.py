"""Offers of core itself, through the same hooks as a stranger's."""

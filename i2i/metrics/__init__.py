"""Measures of results. A metric's name states its convention."""

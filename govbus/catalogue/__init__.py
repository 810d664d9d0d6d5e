"""Declarations become one frozen, checked Catalogue value; plan is the difference of two."""

"""The quick way for many usual records at once, where numba is installed (the extra ``fast``)."""

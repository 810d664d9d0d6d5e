"""The names of topics, subjects and groups, where the clients look for them; the catalogue has them."""

from govbus.catalogue.topics import Topics

__all__ = ["Topics"]

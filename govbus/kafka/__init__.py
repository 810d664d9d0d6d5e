"""Clients, topics, the schema registry, and the one translation of librdkafka's errors."""

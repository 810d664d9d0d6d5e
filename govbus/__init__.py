"""govbus: an event-driven exchange bus between government departments, on Apache Kafka."""

__version__ = "0.1.0"

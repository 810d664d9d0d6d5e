"""The worker: from raw topics to share topics, exactly once."""

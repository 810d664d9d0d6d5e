"""Avro on the wire: slicing, projection, framing. Schemas come in as arguments."""

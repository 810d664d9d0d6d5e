"""What the bus must do, written a second time: plain Python over fastavro, simple and slow, importing nothing of govbus."""

"""What the bus must do, written a second time: plain Python, simple and slow, importing nothing of govbus."""

"""`python -m govbus` is the command `govbus`."""

from govbus.cli import main

main()

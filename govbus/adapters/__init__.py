"""How departments publish: files, Postgres, their own Python program."""

"""How subscribers receive: Postgres, files."""

-- Runs once, when the database folder is made: the schema registry keeps its subjects in a database of its own.
CREATE DATABASE registry;

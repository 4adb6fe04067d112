"""What campaigns keep in the database: statements that take a connection and do one thing."""

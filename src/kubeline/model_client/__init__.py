"""A client of model servers: golden rows, the three protocols, and a server as a child process."""

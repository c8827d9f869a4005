"""HTTP/1.1: connections, requests within their limits, and what is at which path."""

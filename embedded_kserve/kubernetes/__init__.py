"""The Kubernetes API: its server, the objects that it stores, watches of them, and admission."""

"""The queue of requests, and the model that answers them."""

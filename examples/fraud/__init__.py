"""The fraud example: a stream of card payments, of which few are fraud, and whose labels come late."""

"""The card of a model: what its users ask before they take it, as JSON, as Markdown for a model hub, and as a page."""

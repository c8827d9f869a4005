"""The card of a model: what a person asks before using it, as JSON, as Markdown for a model hub, and as a page."""

"""Messages about pipelines to people, over whatever channel they read."""

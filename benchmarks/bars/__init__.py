"""Every bar of this project: what it asks, where its value lies, and the table of all."""

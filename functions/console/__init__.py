"""Shows the system to people, and lets them act on it: pages, and what they ask for."""

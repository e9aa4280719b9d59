"""What to do: the queue, the pass, and the pure core that decides. Asks drivers how and the store what is."""

"""How fast: a training step beside a plain one, and a trained model in each engine that can run it."""

"""The pages: who may see and do what, what they show, how they look, and that a browser can live with them."""

"""A campaign: submit through the API while everything is killed, then compare the books of both sides."""

"""The paper's protocols, and its numbers beside measured ones."""

"""The paper's protocols, and its numbers beside one's own."""

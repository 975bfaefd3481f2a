"""Scripts that measure; README.md lists them. A package, so that they can import each other from any folder."""

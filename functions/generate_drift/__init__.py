"""Makes drift on request: sends texts of other kinds through the real predict path, and takes them away again."""

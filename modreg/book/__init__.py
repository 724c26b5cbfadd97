"""What makes the chapters a book: exercises, and figures that are small programs."""

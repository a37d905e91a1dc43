"""What is handed out, handed in and graded."""

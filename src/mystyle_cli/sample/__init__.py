"""What turns a person's codes into pictures, and new pictures of them (app. B.1)."""

"""What is checked of images before anything is trained on them."""

"""What happens to the mesh while it runs."""

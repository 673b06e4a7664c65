"""What a chip document of each architecture must hold."""

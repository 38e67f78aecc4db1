"""Task groups that several DAGs share, and those that join several features."""

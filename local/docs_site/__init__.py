"""The documentation site: MkDocs hooks, diagrams and screenshots."""

"""Speed of one replica from its bytes. Knows no Kubernetes."""

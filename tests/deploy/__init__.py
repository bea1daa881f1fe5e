"""What is shipped for containers, Kubernetes and AWS: each file is judged by a tool of its own."""

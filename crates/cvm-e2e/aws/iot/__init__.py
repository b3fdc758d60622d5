"""AWS IoT in memory: what the certificate vending machine calls of it, judged by AWS's models."""

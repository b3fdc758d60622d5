"""What a caller did wrong, in AWS's words; and what this stand-in did wrong, in its own."""


class Refusal(Exception):
    """An error that AWS documents: its code, a message, and the members of its shape."""

    def __init__(self, code, message, **members):
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.members = members


class Fault(Exception):
    """Something of ours that the published model does not know. No test may leave one behind."""


def invalid(message):
    return Refusal("InvalidRequestException", message)


def missing(message):
    return Refusal("ResourceNotFoundException", message)


def exists(message, identifier, arn):
    return Refusal("ResourceAlreadyExistsException", message, resourceId=identifier, resourceArn=arn)

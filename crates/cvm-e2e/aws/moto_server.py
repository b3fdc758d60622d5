"""moto, for KMS, S3 and IAM, on a port of its own. Not for DynamoDB: there it is not atomic."""

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from moto_kms import mend
from until_eof import announce, end_with_starter


def main():
    end_with_starter()
    mend()
    application = DomainDispatcherApplication(create_backend_app)
    server = make_server("127.0.0.1", 0, application, threaded=True)
    announce(server.server_port)
    server.serve_forever()


main()
